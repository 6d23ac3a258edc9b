import { query, withPostgres } from './postgres.ts';
import { type Remote, type Span, secondsOf, startRemote } from './remote.ts';

/** Another program that does the work: what a process of it does when asked. */
export type Program = {
  /** Connects, and makes the tables when there are none. */
  open(options: { url: string }): Promise<void>;
  /** Puts that many items in, the fastest way there is. */
  fill(options: { size: number }): Promise<Span>;
  /** Works until nothing is left, and tells how much of it was its own. */
  drain(options: Record<string, never>): Promise<Span & { done: number }>;
};

type Run = { module: string; size: number; folder: string };

/** Items a second that one process of a program puts in. */
export async function fillRate({ module, size, folder }: Run): Promise<number> {
  return withPostgres(folder, async (url) => {
    const [worker] = await open(module, url, 1);
    const span = await worker.call('fill', { size });
    await worker.close();
    return size / secondsOf([span]);
  });
}

/** Items a second that so many processes of a program drain together. */
export async function drainRate(run: Run & { workers: number }): Promise<number> {
  const { module, size, folder } = run;
  return withPostgres(folder, async (url) => {
    const workers = await open(module, url, run.workers);
    await workers[0].call('fill', { size });
    // Ours has to do without: a table that was just filled has no statistics yet.
    await query(url, 'analyze');
    const spans = await Promise.all(workers.map((worker) => worker.call('drain', {})));
    await Promise.all(workers.map((worker) => worker.close()));
    const done = spans.reduce((sum, span) => sum + span.done, 0);
    if (done !== size) throw new Error(`${done} of ${size} items were done.`);
    return size / secondsOf(spans.filter((span) => span.done > 0));
  });
}

async function open(
  module: string,
  url: string,
  count: number,
): Promise<[Remote<Program>, ...Remote<Program>[]]> {
  const first = startRemote<Program>(module);
  const others = Array.from({ length: count - 1 }, () => startRemote<Program>(module));
  for (const worker of [first, ...others]) await worker.call('open', { url });
  return [first, ...others];
}
