import { createEngine, defineProcessor, type Engine, type Processor } from '../packages/engine/src/index.ts';
import { doNothing, IN_FLIGHT, type Input, inputOf } from './nothing.ts';

export const noop = defineProcessor<Record<string, never>, Input>({
  name: 'bench.noop',
  isolation: 'inline',
  run: (item) => doNothing(item.input),
}) as unknown as Processor; // the engine knows no input types

export async function openEngine(
  folder: string,
  processors: readonly Processor[],
  concurrency = IN_FLIGHT,
): Promise<Engine> {
  return createEngine({ data_dir: folder, processors, concurrency });
}

/** A draft with `size` items. */
export async function fill(
  engine: Engine,
  processor: string,
  size: number,
  concurrency = IN_FLIGHT,
): Promise<string> {
  const { batch } = await engine.create({ processor, concurrency, max_attempts: 1, start: false });
  await engine.append({ batch_id: batch.id }, items(size));
  return batch.id;
}

function* items(size: number): Generator<{ input: Input }> {
  for (let n = 1; n <= size; n += 1) yield { input: inputOf(n) };
}

/** Seconds from the call of `begin` until the batch is over. */
export async function secondsUntilDone(
  engine: Engine,
  id: string,
  begin: () => Promise<unknown>,
): Promise<number> {
  const from = performance.now();
  await begin();
  await engine.wait({ batch_id: id, until: 'final' });
  return (performance.now() - from) / 1000;
}

/** Runs a whole batch and answers its seconds; every item must have been completed. */
export async function secondsToComplete(engine: Engine, id: string): Promise<number> {
  const seconds = await secondsUntilDone(engine, id, () => engine.start({ batch_id: id }));
  const { completed_items: completed, total_items: total } = await engine.get({ batch_id: id });
  if (completed !== total) throw new Error(`${completed} of ${total} items were completed.`);
  return seconds;
}
