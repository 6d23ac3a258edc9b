/** An engine on the cluster's database, in a process of its own. */
import { createEngine, type Engine } from '../../packages/engine/src/index.ts';
import { inputOf } from '../nothing.ts';
import { noop } from '../work.ts';
import { type WaitInput, wait } from './processors.ts';
import { moment, type Span, serve } from './remote.ts';

let engine: Engine | null = null;

const actions = {
  async open(options: {
    database: string;
    data_dir: string;
    files: string;
    concurrency: number;
    work: boolean;
  }): Promise<void> {
    engine = await createEngine({ ...options, processors: [noop, wait] });
  },
  /** A draft with that many items that do nothing. */
  fill: ({ size, concurrency }: { size: number; concurrency: number }) =>
    draft({ processor: noop.name, concurrency, inputs: inputs(size, inputOf) }),
  /** A draft with that many items that wait. */
  fillWaiting: ({ size, concurrency, input }: { size: number; concurrency: number; input: WaitInput }) =>
    draft({ processor: wait.name, concurrency, inputs: inputs(size, () => input) }),
  /** Starts a draft and answers when that was acknowledged. */
  async start({ id }: { id: string }): Promise<number> {
    await opened().start({ batch_id: id });
    return moment();
  },
  /** From before the start of a draft until it is known to be over. */
  async complete({ id }: { id: string }): Promise<Span> {
    const from = moment();
    await opened().start({ batch_id: id });
    await opened().wait({ batch_id: id, until: 'final' });
    const to = moment();
    const { completed_items: completed, total_items: total } = await opened().get({ batch_id: id });
    if (completed !== total) throw new Error(`${completed} of ${total} items were completed.`);
    return { from, to };
  },
  async waitFor({ id }: { id: string }): Promise<void> {
    await opened().wait({ batch_id: id, until: 'final' });
  },
  /** Fails when a batch that should still run is over. */
  async stillRuns({ id }: { id: string }): Promise<void> {
    const { status } = await opened().get({ batch_id: id });
    if (status !== 'running') throw new Error(`The batch is ${status}; it should still run.`);
  },
  async cancel({ id }: { id: string }): Promise<void> {
    await opened().cancel({ batch_id: id });
  },
  /** The times of so many looks at a batch, in milliseconds. */
  async look({ id, times }: { id: string; times: number }): Promise<number[]> {
    const taken: number[] = [];
    for (let time = 1; time <= times; time += 1) {
      const from = performance.now();
      await opened().get({ batch_id: id });
      taken.push(performance.now() - from);
    }
    return taken;
  },
  async close(_options: Record<string, never>): Promise<void> {
    await engine?.close({ drain_ms: 1_000 });
  },
};
export type EngineActions = typeof actions;

serve(actions);

async function draft(options: {
  processor: string;
  concurrency: number;
  inputs: Iterable<{ input: WaitInput | { n: number } }>;
}): Promise<{ id: string; seconds: number }> {
  const { processor, concurrency } = options;
  const { batch } = await opened().create({ processor, concurrency, max_attempts: 1, start: false });
  const from = performance.now();
  await opened().append({ batch_id: batch.id }, options.inputs);
  return { id: batch.id, seconds: (performance.now() - from) / 1000 };
}

function* inputs<Input>(size: number, inputOfItem: (n: number) => Input): Generator<{ input: Input }> {
  for (let n = 1; n <= size; n += 1) yield { input: inputOfItem(n) };
}

function opened(): Engine {
  if (engine === null) throw new Error('Open comes first.');
  return engine;
}
