import type { DatabaseSync } from 'node:sqlite';
import { defineProcessor, type Processor, permanent } from '../../packages/engine/src/index.ts';
import { insertItems, openBareDatabase } from '../bare-database.ts';
import { type Bench, shareLine } from '../bench.ts';
import { doNothing, type Input } from '../nothing.ts';
import { fill, openEngine, secondsUntilDone } from '../work.ts';
import { drainBare, drainOurs, inputs } from './noop.ts';

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

/**
 * Work that lies scattered must not cost much more than work that lies in one stretch. The bare program
 * shows what of it is the database's: it clears the failed rows and writes them again, and nothing else.
 */
export const retryBench: Bench = {
  name: 'retry',
  about: `retry of every ${FAILS_EVERY}th item of a batch, beside the pace of a plain batch and a bare program`,
  size: { full: 1_000_000, quick: 200_000 },
  rounds: { full: 3, quick: 1 },
  sides: {
    plain: drainOurs,
    async raw({ size, folder }) {
      const database = openBareDatabase(folder);
      insertItems(database, inputs(size));
      const failed = failScattered(database);
      const from = performance.now();
      clearFailed(database);
      await drainBare(database, FAILS_EVERY);
      return { rate: failed / ((performance.now() - from) / 1000) };
    },
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
  judge: (median) =>
    [
      { side: 'plain', floor_percent: 50 },
      { side: 'raw', floor_percent: null },
    ].map(({ side, floor_percent }) =>
      shareLine({
        label: 'retry',
        ours: median('retry', 'rate'),
        other: { name: side, rate: median(side, 'rate') },
        floor_percent,
      }),
    ),
};

/** A batch as it lies there after its first round, on disk. */
function failScattered(database: DatabaseSync): number {
  const at = Date.now();
  database.exec('begin immediate');
  database
    .prepare(`update item set status = 'completed', attempt = 1, config_no = 1, result = input, started_at = ?,
      duration_ms = 0, finished_at = ? where batch_no = 1 and seq % ${FAILS_EVERY} <> 0`)
    .run(at, at);
  const { changes } = database
    .prepare(`update item set status = 'failed', attempt = 1, config_no = 1, error_kind = 'permanent',
      error_code = 'permanent', error_message = 'Not at the first try.',
      cause = 'permanent: Not at the first try.', started_at = ?, duration_ms = 0, finished_at = ?
      where batch_no = 1 and seq % ${FAILS_EVERY} = 0`)
    .run(at, at);
  database.exec('commit');
  database.exec('pragma wal_checkpoint(truncate)');
  return Number(changes);
}

function clearFailed(database: DatabaseSync): void {
  database.exec(`update item set status = null, error_kind = null, error_code = null, error_message = null,
    cause = null, started_at = null, duration_ms = null, finished_at = null
    where batch_no = 1 and status = 'failed'`);
}
