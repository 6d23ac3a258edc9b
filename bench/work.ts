import { createEngine, defineProcessor, type Engine, type Processor } from '../packages/engine/src/index.ts';

/** Handlers in flight, for the bare loop and for Sheaf. */
export const IN_FLIGHT = 16;

export type Input = { n: number };

/** The input of an item, as everybody gets it. */
export function inputOf(n: number): Input {
  return { n };
}

/** The work that is none: awaited, it reads its input and answers something to keep. */
export async function doNothing(input: Input): Promise<Input> {
  return { n: input.n + 1 };
}

/** Fails at first where `n` says so, with nothing to gain from a try in between. */
export const FAIL_EVERY = 10;

export const noop: Processor = asAny(
  defineProcessor<Record<string, never>, Input>({
    name: 'bench.noop',
    isolation: 'inline',
    run: (item) => doNothing(item.input),
  }),
);

/** The typed processor among others, whose types the engine does not know. */
function asAny<Config, Item>(processor: Processor<Config, Item>): Processor {
  return processor as unknown as Processor;
}

export async function openEngine(folder: string, processors: readonly Processor[]): Promise<Engine> {
  return createEngine({ data_dir: folder, processors, concurrency: IN_FLIGHT });
}

/** A draft with `size` items. */
export async function fill(engine: Engine, processor: string, size: number, concurrency = IN_FLIGHT): Promise<string> {
  const { batch } = await engine.create({ processor, concurrency, max_attempts: 1, start: false });
  await engine.append({ batch_id: batch.id }, items(size));
  return batch.id;
}

export function* items(size: number): Generator<{ input: Input }> {
  for (let n = 1; n <= size; n += 1) yield { input: inputOf(n) };
}

/** Seconds from the call of `begin` until the batch is over. */
export async function secondsUntilDone(engine: Engine, id: string, begin: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await begin();
  await engine.wait({ batch_id: id, until: 'final' });
  return (performance.now() - from) / 1000;
}
