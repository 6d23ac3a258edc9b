import { defineProcessor, type Processor, permanent } from '../../packages/engine/src/index.ts';
import { type Bench, shareLine } from '../bench.ts';
import { doNothing, type Input } from '../nothing.ts';
import { fill, openEngine, secondsUntilDone } from '../work.ts';
import { drainOurs } from './noop.ts';

/** Every so many items fails, so that each retried one is a stretch of its own. */
const FAILS_EVERY = 10;

/** Fails at the first attempt of every tenth item. */
const flaky = defineProcessor<Record<string, never>, Input>({
  name: 'bench.flaky',
  isolation: 'inline',
  async run(item) {
    if (item.attempt === 1 && item.input.n % FAILS_EVERY === 0) throw permanent('Not at the first try.');
    return doNothing(item.input);
  },
}) as unknown as Processor; // the engine knows no input types

/** Work that lies scattered must not cost much more than work that lies in one stretch. */
export const retryBench: Bench = {
  name: 'retry',
  about: `retry of every ${FAILS_EVERY}th item of a batch, beside the pace of a plain batch`,
  size: { full: 1_000_000, quick: 200_000 },
  rounds: { full: 3, quick: 2 },
  sides: {
    plain: drainOurs,
    async retry({ size, folder }) {
      const engine = await openEngine(folder, [flaky]);
      const id = await fill(engine, flaky.name, size);
      await secondsUntilDone(engine, id, () => engine.start({ batch_id: id }));
      const { failed_items: failed } = await engine.get({ batch_id: id });
      const seconds = await secondsUntilDone(engine, id, () => engine.retry({ batch_id: id }));
      const { completed_items: completed } = await engine.get({ batch_id: id });
      await engine.close();
      if (failed !== size / FAILS_EVERY || completed !== size)
        throw new Error(`${failed} failed, ${completed} completed.`);
      return { rate: failed / seconds };
    },
  },
  judge: (median) => [
    shareLine({
      label: 'retry',
      ours: median('retry', 'rate'),
      other: { name: 'plain', rate: median('plain', 'rate') },
      floor_percent: 50,
    }),
  ],
};
