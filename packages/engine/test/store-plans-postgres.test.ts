import type { Batch } from '@sheaf/protocol';
import { beforeAll, expect, it } from 'vitest';
import { openPostgresStore } from '../src/adapters/store-sql/postgres.ts';
import type { Store } from '../src/ports/store.ts';
import { describePostgres, makeBatch, makeItems, makeOutcome } from '../src/testing/index.ts';

const ITEMS = 300_000;

/** Of so many items one failed, at its first attempt. */
const ONE_IN = 10;

/** As it lies there after its first round, in statements that know nothing of the Store's. */
const FIRST_ROUND = [
  `update sheaf.batch set next_seq = ${ITEMS + 1}, total_items = ${ITEMS}, status = 'partially_completed', completed_at = 1,
    completed_items = ${ITEMS - ITEMS / ONE_IN}, failed_items = ${ITEMS / ONE_IN}`,
  'delete from sheaf.range',
  'delete from sheaf.item',
  `insert into sheaf.item (batch_no, seq, bytes, attempt, status, finished_at)
    select no, seq, 0, 1, case when seq % ${ONE_IN} <> 0 then 'completed' end, case when seq % ${ONE_IN} <> 0 then 1 end
    from sheaf.batch, generate_series(1, ${ITEMS}) seq`,
  `insert into sheaf.attempt (batch_no, seq, attempt, status, error_kind, error_code, error_message, finished_at)
    select batch_no, seq, 1, 'failed', 'permanent', 'broken', 'Broken.', 1 from sheaf.item where status is null`,
  `insert into sheaf.failure select batch_no, seq, 1, 'broken: Broken.' from sheaf.item where status is null`,
  `insert into sheaf.cause select no, 'broken: Broken.', 'broken', 'Broken.', failed_items, 1, 1 from sheaf.batch`,
  'vacuum analyze',
];

describePostgres('statements on a large batch', (postgres) => {
  let batch: Batch;
  beforeAll(async () => {
    batch = await prepare();
  }, 60_000);

  it('that lease and record walk neither all items nor all attempts', async () => {
    const before = await walks();
    await withStore((store) => work(store, batch));
    expect(await walks()).toEqual(before);
  });

  it('that show pages walk no more than the attempts, and these only where they are few', async () => {
    const before = await walks();
    await withStore((store) => look(store, batch));
    expect((await walks()).item).toBe(before.item);
  });

  async function withStore(work: (store: Store) => Promise<void>): Promise<void> {
    const store = await openPostgresStore({ url: postgres.url, pool: 2 });
    await work(store);
    // What a connection has counted is known when it ends.
    await store.close();
  }

  async function prepare(): Promise<Batch> {
    const store = await openPostgresStore({ url: postgres.url, pool: 1 });
    const { batch } = await store.create(makeBatch({ concurrency: 1_000 }), makeItems(1), {
      now: 1,
      start: true,
    });
    await store.close();
    for (const statement of FIRST_ROUND) await postgres.sql(statement);
    return batch;
  }

  /** How often each table was read from its beginning to its end. */
  async function walks(): Promise<Record<string, number>> {
    const rows = await postgres.sql(
      `select relname, seq_scan from pg_stat_user_tables where relname in ('item', 'attempt')`,
    );
    return Object.fromEntries(rows.map(({ relname, seq_scan }) => [relname, Number(seq_scan)]));
  }
});

/** Whatever is done often: each of it concerns some items. */
async function work(store: Store, batch: Batch): Promise<void> {
  const ref = { space: batch.space, batch_id: batch.id };
  const act = { ...ref, now: 10, by: 'tester' };
  await store.retry(act);
  const take = async (token: string, limit: number) => {
    const slot = { token, batch_id: batch.id, worker: 'w', boot: 'b', width: 10, idle: true, now: 10 };
    const answer = await store.lease({ ...slot, limit });
    if (!('lease' in answer)) throw new Error(`No lease: ${answer.refused}.`);
    return answer.lease;
  };
  for (const token of ['first', 'second', 'third']) await take(token, 10);
  const held = await take('large', 2_000);
  const outcomes = held.items.slice(0, 1_000).map((item, index) => {
    const status = (['completed', 'failed', 'retry'] as const)[index % 3] ?? 'completed';
    return makeOutcome(item, { status, ready_at: 10 });
  });
  await store.record([{ token: 'large', batch_id: batch.id, outcomes, more: 10, width: 10 }], 10);
  await store.release(['large', 'first'], 10);
  await take('again', 100);
  await store.removeItem({ ...act, seq: ITEMS });
  await store.retry({
    ...act,
    items: outcomes
      .filter(({ status }) => status === 'failed')
      .slice(0, 2)
      .map(({ seq }) => seq),
  });
}

async function look(store: Store, batch: Batch): Promise<void> {
  const ref = { space: batch.space, batch_id: batch.id };
  for (const status of [undefined, 'pending', 'running', 'completed', 'failed', 'cancelled'] as const) {
    for (const after of [0, ITEMS / 2]) {
      await store.items({ ...ref, after, limit: 100, ...(status === undefined ? {} : { status: [status] }) });
    }
  }
  await store.items({ ...ref, after: 0, limit: 100, cause: 'broken' });
  await store.item({ ...ref, seq: ITEMS / 2 });
  await store.causes(ref);
}
