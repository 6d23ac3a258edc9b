import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createEngine } from '../src/engine.ts';
import { describePostgres } from '../src/testing/temporary-postgres.ts';
import { until } from '../src/testing/until.ts';
import { createLedger, waits } from './engine/ledger.ts';
import { numbered } from './engine/world.ts';

describePostgres('The slots of two engines on one database', (postgres) => {
  test('go to a lower batch where the higher one has no width left', async () => {
    const { engines, urgent, humble } = await openTwo();
    const [engine] = engines;
    // Of eight slots it may use five: one engine has some that are free, though more of its items wait.
    const first = { processor: 'urgent', items: numbered(40), concurrency: 5, priority: 9 };
    const { batch: higher } = await engine.create(first);
    await until('the higher one runs as wide as it may', () => urgent.atWork === 5);
    const second = { processor: 'humble', items: numbered(40), concurrency: 8, priority: 2 };
    const { batch: lower } = await engine.create(second);
    await until('the lower one has the other slots', () => humble.atWork === 3);
    expect(urgent.atWork).toBe(5);
    urgent.open();
    humble.open();
    for (const { id } of [higher, lower]) await engine.wait({ batch_id: id, timeout_ms: 30_000 });
    expect(urgent.mostAtWork).toBe(5);
  });

  test('start no more of a batch together than its rate limit allows, and hear of another one', async () => {
    const { engines, urgent } = await openTwo();
    const [engine] = engines;
    const rateLimit = { items: 5, per_ms: 3_600_000 };
    const { batch } = await engine.create({
      processor: 'urgent',
      items: numbered(40),
      concurrency: 8,
      rate_limit: rateLimit,
    });
    await until('five have started', () => urgent.starts.length === 5);
    // More than one engine has slots for, and fewer than both have: each of them runs some.
    expect(urgent.atWork).toBe(5);
    const target = { batch_id: batch.id };
    await engine.update({ ...target, fields: { rate_limit: { ...rateLimit, items: 7 } } });
    await until('two more have started', () => urgent.starts.length === 7);
    urgent.open();
    await until('they are recorded', async () => (await engine.get(target)).completed_items === 7);
    expect(await engine.get(target)).toMatchObject({ running_items: 0, pending_items: 33 });
    expect(urgent.starts).toHaveLength(7);
    await engine.update({ ...target, fields: { rate_limit: null } });
    await engine.wait({ ...target, timeout_ms: 30_000 });
    expect(urgent.starts).toHaveLength(40);
  });

  async function openTwo() {
    const folder = mkdtempSync(join(tmpdir(), 'sheaf-sharing-'));
    const database = await postgres.database();
    const [urgent, humble] = ['urgent', 'humble'].map((name) => createLedger({ name, run: waits }));
    if (urgent === undefined || humble === undefined) throw new Error('There are two.');
    const open = (name: string) =>
      createEngine({
        data_dir: join(folder, name),
        files: join(folder, 'files'),
        database,
        concurrency: 4,
        processors: [urgent.processor, humble.processor],
      });
    const engines = [await open('one'), await open('two')] as const;
    onTestFinished(async () => {
      await Promise.all(engines.map((engine) => engine.close({ drain_ms: 0 })));
      rmSync(folder, { recursive: true, force: true });
    });
    return { engines, urgent, humble };
  }
});
