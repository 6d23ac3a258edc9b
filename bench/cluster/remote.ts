import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** What a process of a bench does when asked. Arguments and answers are plain data. */
export type Actions = { [name: string]: (options: never) => Promise<unknown> };

/** A process of a bench, and the way to ask it. */
export type Remote<A extends Actions> = {
  call<Name extends keyof A>(name: Name, options: Parameters<A[Name]>[0]): ReturnType<A[Name]>;
  /** What it tells by itself, with `tell`. */
  onNews(listener: (news: unknown) => void): void;
  isAlive(): boolean;
  /** Ends it as a crash would. */
  kill(): Promise<void>;
  /** Ends it when it has answered everything. */
  close(): Promise<void>;
};

type Call = { id: number; name: string; options: unknown };
type Answer = { id: number; value?: unknown; problem?: string };
type Waiting = { resolve(value: unknown): void; reject(error: Error): void };

/** Forks a module of this folder that calls `serve`. */
export function startRemote<A extends Actions>(module: string): Remote<A> {
  const child = fork(join(import.meta.dirname, module), { serialization: 'advanced' });
  const waiting = new Map<number, Waiting>();
  const listeners: ((news: unknown) => void)[] = [];
  let lastId = 0;
  child.on('message', (message) => {
    // Sent by `serve` and `tell`, and by nobody else.
    const { answer, news } = message as { answer?: Answer; news?: unknown };
    if (answer === undefined) {
      for (const listener of listeners) listener(news);
      return;
    }
    const { id, value, problem } = answer;
    if (problem === undefined) waiting.get(id)?.resolve(value);
    else waiting.get(id)?.reject(new Error(`${module}: ${problem}`));
    waiting.delete(id);
  });
  child.on('exit', (code, signal) => {
    for (const { reject } of waiting.values()) reject(new Error(`${module} ended: ${signal ?? code}`));
  });
  return {
    call(name, options) {
      lastId += 1;
      const id = lastId;
      const answer = new Promise<unknown>((resolve, reject) => waiting.set(id, { resolve, reject }));
      child.send({ id, name: String(name), options } satisfies Call);
      // The types of the child's own actions, kept by `startRemote<typeof actions>`.
      return answer as ReturnType<A[typeof name]>;
    },
    onNews: (listener) => void listeners.push(listener),
    isAlive: () => child.exitCode === null && child.signalCode === null,
    kill: () => end(child, () => child.kill('SIGKILL')),
    close: () => end(child, () => child.disconnect()),
  };
}

async function end(child: ChildProcess, act: () => unknown): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  act();
  await ended;
}

/** Answers the calls of the process that forked this one, and ends with it. */
export function serve(actions: Actions): void {
  process.on('message', async (message) => {
    // Sent by `call`, and by nobody else.
    const { id, name, options } = message as Call;
    try {
      const value = await actions[name]?.(options as never);
      process.send?.({ answer: { id, value } });
    } catch (error) {
      const problem = error instanceof Error ? (error.stack ?? error.message) : String(error);
      process.send?.({ answer: { id, problem } });
    }
  });
  process.on('disconnect', () => process.exit());
}

/** Tells the process that forked this one. */
export function tell(news: unknown): void {
  process.send?.({ news });
}

/** A moment that processes of one machine can compare, in milliseconds. */
export function moment(): number {
  return performance.timeOrigin + performance.now();
}

/** When a process began its share of the work, and when it was through. */
export type Span = { from: number; to: number };

/** From the first beginning to the last end. */
export function secondsOf(spans: readonly Span[]): number {
  return (Math.max(...spans.map(({ to }) => to)) - Math.min(...spans.map(({ from }) => from))) / 1000;
}
