import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errorCode } from '@sheaf/protocol';
import pg from 'pg';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openPostgresStore } from '../src/adapters/store-sql/postgres.ts';
import { defineProcessor } from '../src/define-processor.ts';
import { createEngine } from '../src/engine.ts';
import type { Lease, Outcome, RecordRequest } from '../src/ports/leasing.ts';
import type { Act, Store } from '../src/ports/store.ts';
import {
  type Fate,
  makeBatch,
  makeItems,
  makeOutcome,
  type PostgresProxy,
  startPostgresProxy,
  until,
} from '../src/testing/index.ts';
import { describePostgres } from '../src/testing/temporary-postgres.ts';

const ITEMS = 12;

describePostgres('a Store on a network that fails', (postgres) => {
  async function openProxy(): Promise<PostgresProxy> {
    const proxy = await startPostgresProxy(postgres.url);
    onTestFinished(() => proxy.close());
    return proxy;
  }

  async function openStore(url: string): Promise<Store> {
    const store = await openPostgresStore({ url, pool: 2 });
    onTestFinished(() => store.close());
    return store;
  }

  describe('at a commit', () => {
    it.each(['unsent', 'unheard'] as const)(
      'counts once what is asked for again, whichever commit of a batch it is (%s)',
      async (fate) => {
        const proxy = await openProxy();
        const store = await openStore(proxy.through(postgres.url));
        const commits = await live(store, proxy, null);
        expect(commits).toBeGreaterThan(8);
        for (let n = 1; n <= commits; n++) await live(store, proxy, { n, fate });
      },
    );

    it('tells whoever listens of the end of a batch, though nobody heard that it was kept', async () => {
      const proxy = await openProxy();
      const database = proxy.through(await postgres.database());
      const folder = mkdtempSync(join(tmpdir(), 'sheaf-network-'));
      onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
      const engine = await createEngine({
        data_dir: folder,
        database,
        processors: [defineProcessor({ name: 'plain', run: () => 1 })],
      });
      onTestFinished(() => engine.close({ drain_ms: 0 }));
      const statuses: string[] = [];
      engine.subscribe({}, (event) => {
        if (event.type === 'batch_status') statuses.push(event.status);
      });
      let outcomeOn: number | null = null;
      let isLost = false;
      proxy.decide = (statement, connection) => {
        if (statement.includes('update item i set status')) outcomeOn ??= connection;
        if (isLost || connection !== outcomeOn || !isCommit(statement)) return 'pass';
        isLost = true;
        return 'unheard';
      };
      const { batch } = await engine.create({ processor: 'plain', items: [{ input: {} }] });
      await until('the end was told', () => statuses.includes('completed'), { limit_ms: 15_000 });
      expect(isLost).toBe(true);
      expect(statuses.filter((status) => status === 'completed')).toHaveLength(1);
      expect(await engine.get({ batch_id: batch.id })).toMatchObject({ completed_items: 1 });
    });
  });

  describe('in silence', () => {
    it('gives a statement up that is not answered', async () => {
      const proxy = await openProxy();
      const store = await openStore(proxy.through(postgres.url));
      await store.workers(1);
      proxy.silence('all');
      await expect(store.workers(1)).rejects.toMatchObject({ code: 'store_unavailable' });
      proxy.speak('never');
      await until('it answers', () => answers(store), { limit_ms: 30_000 });
    });

    it('gives up one connection that lost an answer while others are well', async () => {
      const proxy = await openProxy();
      const store = await openStore(proxy.through(postgres.url));
      proxy.decide = once(isCommit, 'swallowed');
      const creating = store.create(makeBatch(), makeItems(1), { now: 1 });
      await expect(creating).rejects.toMatchObject({ code: 'store_unavailable' });
      expect(await answers(store)).toBe(true);
    });

    it('waits as long as the database is at work', async () => {
      const proxy = await openProxy();
      const store = await openStore(proxy.through(postgres.url));
      const { batch } = await store.create(makeBatch(), makeItems(1), { now: 1 });
      const act = { space: 'default', batch_id: batch.id, now: 2, by: 'tester' };
      const holder = new pg.Client({ connectionString: postgres.url });
      await holder.connect();
      await holder.query('begin');
      await holder.query('select 1 from sheaf.batch where id = $1 for update', [batch.id]);
      const starting = store.start(act);
      let asked = 0;
      proxy.decide = (statement) => {
        if (statement.includes('pg_stat_activity')) asked += 1;
        return 'pass';
      };
      await until('it was asked after twice', () => asked === 2, { limit_ms: 30_000 });
      await holder.query('commit');
      await holder.end();
      expect((await starting).status).toBe('queued');
    });
  });

  /**
   * The life of a batch, every call made again until it is answered; then everything in it must have
   * happened once. Answers how many commits it took.
   *
   * @param cut The commit that goes wrong.
   */
  async function live(
    store: Store,
    proxy: PostgresProxy,
    cut: { n: number; fate: Fate } | null,
  ): Promise<number> {
    let commits = 0;
    proxy.decide = (statement) => {
      if (!isCommit(statement)) return 'pass';
      commits += 1;
      return commits === cut?.n ? cut.fate : 'pass';
    };
    const now = Date.now();
    const idempotency = { route: 'batches', key: crypto.randomUUID(), body_hash: 'a' };
    const { batch } = await again(() =>
      store.create(makeBatch({ concurrency: 4 }), makeItems(ITEMS), { now, idempotency }),
    );
    const act = { space: 'default', batch_id: batch.id, now, by: 'tester' };
    await again(() => store.start(act));
    await work(store, act, ['failed', 'retry']);
    await again(() => store.retry(act));
    await work(store, act, []);
    proxy.decide = () => 'pass';

    expect(await store.get(act), `cut: ${cut?.n}`).toMatchObject({
      status: 'completed',
      total_items: ITEMS,
      completed_items: ITEMS,
    });
    const { data } = await store.items({ ...act, after: 0, limit: 100 });
    const twice = data.filter(({ attempt }) => attempt === 2).map(({ seq }) => seq);
    expect(twice, `cut: ${cut?.n}`).toEqual([1, 2]);
    expect(await store.checkInvariants()).toEqual([]);
    return commits;
  }
});

/** Leases and records until nothing is ready; the first items have these outcomes, all others complete. */
async function work(store: Store, act: Act, first: readonly Outcome['status'][]): Promise<void> {
  let outcomes = first;
  for (;;) {
    const lease = await leaseSome(store, act);
    if (lease === null) return;
    const request: RecordRequest = {
      token: lease.token,
      batch_id: act.batch_id,
      outcomes: lease.items.map((item, index) =>
        makeOutcome(item, { status: outcomes[index] ?? 'completed' }),
      ),
      more: 0,
      width: lease.width,
    };
    outcomes = [];
    const [answer] = await again(() => store.record([request], act.now));
    expect(answer).toMatchObject({ lost: false, refused: 0 });
  }
}

/** A lease whose answer got lost is given back by name. */
async function leaseSome(store: Store, act: Act): Promise<Lease | null> {
  for (;;) {
    const token = crypto.randomUUID();
    const { batch_id, now } = act;
    const asked = { token, batch_id, worker: 'w', boot: 'b', width: 4, limit: 5, idle: true, now };
    try {
      const answer = await store.lease(asked);
      return 'lease' in answer ? answer.lease : null;
    } catch (error) {
      expect(error).toMatchObject({ code: 'store_unavailable' });
      await again(() => store.release([token], now));
    }
  }
}

async function again<T>(call: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await call();
    } catch (error) {
      if (errorCode(error) !== 'store_unavailable' || tries === 5) throw error;
    }
  }
}

function answers(store: Store): Promise<boolean> {
  return store.workers(1).then(
    () => true,
    () => false,
  );
}

const isCommit = (statement: string) => statement.trim().toLowerCase() === 'commit';

/** Lets the first statement of a kind go wrong. */
function once(isMeant: (statement: string) => boolean, fate: Fate): PostgresProxy['decide'] {
  let isDone = false;
  return (statement) => {
    if (isDone || !isMeant(statement)) return 'pass';
    isDone = true;
    return fate;
  };
}
