import type { Batch } from '@sheaf/protocol';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openPostgresStore } from '../src/adapters/store-sql/postgres.ts';
import type { Lease, RecordRequest } from '../src/ports/leasing.ts';
import type { Store } from '../src/ports/store.ts';
import { storeTest } from '../src/testing/contracts/store/scene.ts';
import { emptyPostgres } from '../src/testing/empty-postgres.ts';
import { makeBatch, makeItems, makeOutcome, until } from '../src/testing/index.ts';
import { describePostgres } from '../src/testing/temporary-postgres.ts';

function requestOf({ token, batch, items, width }: Lease): RecordRequest {
  return { token, batch_id: batch.id, outcomes: items.map((item) => makeOutcome(item)), more: 0, width };
}

describePostgres('two sessions on one database', (postgres) => {
  let store: Store;
  let other: Store;
  const open = () => openPostgresStore({ url: postgres.url, application_name: 'sheaf-under-test' });
  beforeAll(async () => {
    [store, other] = [await open(), await open()];
  });
  afterAll(async () => {
    await store.close();
    await other.close();
  });

  const test = storeTest(async () => ({ ...store, close: () => emptyPostgres(postgres) }));

  /**
   * Holds a batch's row while two calls gather before it; they go on in the order in which they came.
   * Two and no more: those behind the first meet its new version of the row in any order.
   */
  async function meet<A, B>(
    batchId: string,
    ...calls: [() => Promise<A>, () => Promise<B>]
  ): Promise<[A, B]> {
    const holder = new pg.Client({ connectionString: postgres.url });
    await holder.connect();
    await holder.query('begin');
    await holder.query('select 1 from sheaf.batch where id = $1 for update', [batchId]);
    const answers: Promise<unknown>[] = [];
    for (const call of calls) {
      answers.push(call());
      await until('it waits for the batch', async () => (await waiting()) === answers.length);
    }
    await holder.query('commit');
    await holder.end();
    return (await Promise.all(answers)) as [A, B];
  }

  /** What two leases get that ask for seven slots at the same time. */
  async function leaseAtOnce(batch: Batch, now = Date.now()): Promise<Lease[]> {
    const options = (token: string) => ({
      token: `${token}-${batch.id}`,
      batch_id: batch.id,
      worker: token,
      boot: 'boot-1',
      width: 7,
      limit: 20,
      idle: true,
      now,
    });
    const answers = await meet(
      batch.id,
      () => store.lease(options('a')),
      () => other.lease(options('b')),
    );
    return answers.flatMap((answer) => ('lease' in answer ? [answer.lease] : []));
  }

  async function waiting(): Promise<number> {
    const [row] = await postgres.sql(
      `select count(*)::int as count from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
    );
    return Number(row?.count);
  }

  test('two last records settle the batch', async ({ started, lease, clock, get }) => {
    const batch = await started({ items: 6, concurrency: 6 });
    const [a, b] = [await lease(batch, { limit: 3, width: 3 }), await lease(batch, { limit: 3, width: 3 })];
    const [[first], [second]] = await meet(
      batch.id,
      () => store.record([requestOf(a)], clock.now()),
      () => other.record([requestOf(b)], clock.now()),
    );
    expect([first?.accepted, second?.accepted]).toEqual([3, 3]);
    expect([first?.batch?.status, second?.batch?.status]).toEqual(['running', 'completed']);
    expect(await get(batch)).toMatchObject({ status: 'completed', completed_items: 6 });
  });

  test('a record that meets a cancel loses that chunk only', async ({ started, lease, act, clock, get }) => {
    const [batch, beside] = [await started({ items: 3 }), await started({ items: 3 })];
    const [a, b] = [await lease(batch), await lease(beside)];
    const [, [lost, kept]] = await meet(
      batch.id,
      () => other.cancel(act(batch)),
      () => store.record([requestOf(a), requestOf(b)], clock.now()),
    );
    expect(lost).toMatchObject({ lost: true, accepted: 0, refused: 3 });
    expect(kept).toMatchObject({ lost: false, accepted: 3 });
    expect(await get(batch)).toMatchObject({ status: 'cancelled', completed_items: 0, cancelled_items: 3 });
    expect(await get(beside)).toMatchObject({ status: 'completed', completed_items: 3 });
  });

  test('a cancel that comes after a record leaves what was recorded', async (scene) => {
    const { started, lease, act, clock, get } = scene;
    const batch = await started({ items: 4, concurrency: 2 });
    const held = await lease(batch, { limit: 2 });
    await meet(
      batch.id,
      () => store.record([requestOf(held)], clock.now()),
      () => other.cancel(act(batch)),
    );
    expect(await get(batch)).toMatchObject({ status: 'cancelled', completed_items: 2, cancelled_items: 2 });
  });

  test('two leases never hold the same item, nor more than the concurrency', async ({ started, ask }) => {
    const batch = await started({ items: 100, concurrency: 10 });
    const leases = await leaseAtOnce(batch);
    expect(leases.map(({ width }) => width)).toEqual([7, 3]);
    expect(new Set(leases.flatMap(({ items }) => items.map(({ seq }) => seq))).size).toBe(40);
    expect(await ask(batch)).toMatchObject({ refused: 'no_width' });
  });

  test('two leases together start no more than the rate limit allows', async ({ started, ask, clock }) => {
    const policies = { rate_limit: { items: 9, per_ms: 60_000 } };
    const batch = await started({ items: 100, concurrency: 50, policies });
    const leases = await leaseAtOnce(batch, clock.now());
    expect(leases.map(({ items }) => items.length)).toEqual([7, 2]);
    expect(await ask(batch)).toMatchObject({ refused: 'rate_limited' });
  });

  test('a lease that meets a pause is refused and touches nothing', async ({ started, ask, act, ref }) => {
    const batch = await started({ items: 10 });
    const before = await store.state(ref(batch));
    const [, answer] = await meet(
      batch.id,
      () => other.pause({ ...act(batch), reason: 'user', mode: 'now' }),
      () => ask(batch),
    );
    expect(answer).toMatchObject({ refused: 'not_active' });
    const after = await store.state(ref(batch));
    expect((after as { ranges: unknown }).ranges).toEqual((before as { ranges: unknown }).ranges);
  });

  test('a lease that meets an append takes what is there', async ({ started, ask, act, get }) => {
    const batch = await started({ items: 2, concurrency: 1_000 });
    const [, answer] = await meet(
      batch.id,
      () => other.append(act(batch), makeItems(2)),
      () => ask(batch),
    );
    const seqs = 'lease' in answer ? answer.lease.items.map(({ seq }) => seq) : [];
    expect(seqs).toEqual([1, 2, 3, 4]);
    expect(await get(batch)).toMatchObject({ total_items: 4, running_items: 4 });
  });

  test('a lease that meets a removal takes what is left', async ({ started, ask, act, get }) => {
    const batch = await started({ items: 3, concurrency: 1_000 });
    const [, answer] = await meet(
      batch.id,
      () => other.removeItem({ ...act(batch), seq: 2 }),
      () => ask(batch),
    );
    const seqs = 'lease' in answer ? answer.lease.items.map(({ seq }) => seq) : [];
    expect(seqs).toEqual([1, 3]);
    expect(await get(batch)).toMatchObject({ total_items: 2, running_items: 2 });
  });

  test('a retry that meets a retry takes the items once', async ({ started, lease, finish, act, get }) => {
    const batch = await started({ items: 4 });
    await finish(await lease(batch), [2, 3]);
    const [first, second] = await meet(
      batch.id,
      () => store.retry(act(batch)),
      () => other.retry(act(batch)),
    );
    expect([first.retried, second.retried]).toEqual([2, 0]);
    expect(await get(batch)).toMatchObject({ status: 'queued', failed_items: 0, pending_items: 2 });
  });

  test('a release that meets a cancel leaves nothing behind', async ({ started, lease, act, clock, ref }) => {
    const batch = await started({ items: 4 });
    const held = await lease(batch, { limit: 2 });
    await meet(
      batch.id,
      () => other.cancel(act(batch)),
      () => store.release([held.token], clock.now()),
    );
    expect(await store.state(ref(batch))).toMatchObject({ range_count: 0, cancelled_items: 4 });
  });

  test('the same batch made twice with one key is one batch', async ({ clock }) => {
    const idempotency = { route: 'batches', key: crypto.randomUUID(), body_hash: 'a' };
    const create = (where: Store) =>
      where.create(makeBatch(), makeItems(3), { now: clock.now(), idempotency });
    const answers = await Promise.all([store, other, store, other].map(create));
    expect(new Set(answers.map(({ batch }) => batch.id)).size).toBe(1);
    expect(answers.filter(({ created }) => created)).toHaveLength(1);
  });

  test('packs keep records at the same time, each under a number of its own', async ({ clock }) => {
    const where = { pack: 'photos', space: 'default', kind: crypto.randomUUID(), now: clock.now() };
    const records = [{ key: null, data: '1' }];
    const ids = await Promise.all(
      Array.from({ length: 12 }, (_, n) => (n % 2 ? store : other).addRecords({ ...where, records })),
    );
    expect(ids.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: 12 }, (_, n) => n + 1));
  });

  describe('a connection that is cut off', () => {
    test('makes a record fail that may be made again, and counts once', async (scene) => {
      const { started, lease, clock, get } = scene;
      const batch = await started({ items: 50 });
      const held = await lease(batch);
      let [accepted, echoed] = [0, 0];
      for (let round = 0; accepted + echoed === 0 || round < 5; round++) {
        const cut = postgres.terminate({ application_name: 'sheaf-under-test' });
        const [answer] = await store
          .record([requestOf(held)], clock.now())
          .catch((error: { code: string }) => {
            expect(error.code).toBe('store_unavailable');
            return [];
          });
        await cut;
        if (answer === undefined) continue;
        expect(answer).toMatchObject({ lost: false, refused: 0 });
        accepted += answer.accepted;
        if (answer.accepted === 0) echoed += 1;
      }
      expect(await get(batch)).toMatchObject({ status: 'completed', completed_items: 50 });
    });

    it('leaves a store that works again', async () => {
      await postgres.terminate({ application_name: 'sheaf-under-test' });
      const answers = async () =>
        store.workers(Date.now()).then(
          () => true,
          () => false,
        );
      await until('it answers', answers);
    });
  });

  it('offers the turns of a batch in the transaction that makes it leasable, and in no other', async () => {
    const url = await postgres.database();
    const offered: string[][] = [];
    let isBroken = false;
    const offering = await openPostgresStore({
      url,
      async offer(executeSql, turns) {
        const { rows } = await executeSql('select status from batch where id = $1', [turns[0]?.batch_id]);
        offered.push([JSON.stringify(rows), ...turns.map(({ n, priority }) => `${n}/${priority}`)]);
        if (isBroken) throw new Error('Nobody takes offers.');
      },
    });
    const now = 1_000;
    const { batch } = await offering.create(makeBatch({ concurrency: 2 }), makeItems(3), { now });
    const act = { space: 'default', batch_id: batch.id, now, by: 'tester' };
    expect(offered).toEqual([]);
    isBroken = true;
    await expect(offering.start(act)).rejects.toThrow('Nobody takes offers.');
    expect(await offering.get(act)).toMatchObject({ status: 'draft' });
    isBroken = false;
    await offering.start(act);
    for (const boot of ['a', 'b', 'c']) {
      const worker = { boot, name: boot, pools: [], processors: [], version: '1', concurrency: 1 };
      await offering.beat({ ...worker, running: 0, started_at: now }, now);
    }
    await offering.update({ ...act, fields: { priority: 7 } });
    await offering.update({ ...act, fields: { description: 'nothing to lease' } });
    await offering.pause({ ...act, reason: 'user', mode: 'drain' });
    await offering.resume(act);
    const queued = JSON.stringify([{ status: 'queued' }]);
    expect(offered.slice(1)).toEqual([
      [queued, '1/5'],
      [queued, '1/7', '2/7'],
      [queued, '1/7', '2/7'],
    ]);
    await offering.close();
  });

  it('many who start at once make one schema', async () => {
    const url = await postgres.database();
    const stores = await Promise.all(Array.from({ length: 4 }, () => openPostgresStore({ url, pool: 2 })));
    await stores[0]?.create(makeBatch(), makeItems(1), { now: 1 });
    expect((await stores[3]?.list({ space: 'default', limit: 10, offset: 0 }))?.total).toBe(1);
    for (const each of stores) await each.close();
  });

  it('refuses a database that nobody is let into, without a word of the password', async () => {
    const url = new URL(postgres.url);
    url.pathname = '/nowhere';
    url.password = 'very-secret';
    const error = await openPostgresStore({ url: url.href }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'bad_config' });
    expect(String(error)).not.toContain('very-secret');
  });

  it('says store_unavailable where no server is', async () => {
    await expect(openPostgresStore({ url: 'postgres://nobody@127.0.0.1:1/none' })).rejects.toMatchObject({
      code: 'store_unavailable',
    });
  });

  it('never met a deadlock', async () => {
    const [row] = await postgres.sql(
      `select deadlocks::int from pg_stat_database where datname = current_database()`,
    );
    expect(row?.deadlocks).toBe(0);
  });
});
