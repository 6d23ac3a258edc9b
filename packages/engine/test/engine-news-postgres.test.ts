import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SheafEvent } from '@sheaf/protocol';
import { expect, onTestFinished, test } from 'vitest';
import type { Engine } from '../src/api.ts';
import { createEngine } from '../src/engine.ts';
import { describePostgres } from '../src/testing/temporary-postgres.ts';
import { until } from '../src/testing/until.ts';
import { createLedger } from './engine/ledger.ts';

const SPACES = ['default', 'mine'];

describePostgres('News of engines on one database', (postgres) => {
  test('tell at each what an item is at, wherever it runs, in its own space only', async () => {
    const { watching, working, ledger } = await openTwo();
    const [there, here] = [hear(watching), hear(working)];
    const strange = steps(watching, 'foreign');
    const batches = await Promise.all(
      SPACES.map(async (space) => {
        const batch = { processor: 'gated', items: [{ input: { n: 1 } }] };
        return (await working.create(batch, { space })).batch;
      }),
    );
    const told = batches.map(({ id }) => [
      { type: 'item_progress', batch_id: id, seq: 1, step: `developing ${id}`, percent: 40 },
    ]);
    await until('all was heard', () => there.every((list) => list.length > 0));
    expect(there).toEqual(told);

    for (const { id, space } of batches) {
      const { running } = await watching.progress({ space, batch_id: id });
      expect(running).toMatchObject([{ seq: 1, step: `developing ${id}`, percent: 40 }]);
    }
    ledger.open();
    for (const { id, space } of batches) await watching.wait({ space, batch_id: id });
    // What was heard of the other has come after all that it had said before.
    expect(here).toEqual(told);
    expect(strange).toEqual([]);
  });

  /** One engine that only watches, and one that works. */
  async function openTwo() {
    const folder = mkdtempSync(join(tmpdir(), 'sheaf-news-'));
    const database = await postgres.database();
    const ledger = createLedger({
      name: 'gated',
      async run({ batch_id }, context, gate) {
        context.progress(`developing ${batch_id}`, 40);
        await gate.pass();
      },
    });
    const open = (name: string, work: boolean) =>
      createEngine({
        data_dir: join(folder, name),
        files: join(folder, 'files'),
        database,
        processors: [ledger.processor],
        work,
      });
    const [watching, working] = await Promise.all([open('watching', false), open('working', true)]);
    onTestFinished(async () => {
      await Promise.all([watching.close({ drain_ms: 0 }), working.close({ drain_ms: 0 })]);
      rmSync(folder, { recursive: true, force: true });
    });
    return { watching, working, ledger };
  }
});

const hear = (engine: Engine) => SPACES.map((space) => steps(engine, space));

function steps(engine: Engine, space: string): SheafEvent[] {
  const heard: SheafEvent[] = [];
  engine.subscribe({ space }, (event) => {
    if (event.type === 'item_progress') heard.push(event);
  });
  return heard;
}
