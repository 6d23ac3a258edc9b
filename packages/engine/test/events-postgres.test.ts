import type { Batch, SheafEvent } from '@sheaf/protocol';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import {
  createPostgresEvents,
  type PostgresEvents,
} from '../src/adapters/events-postgres/postgres-events.ts';
import type { Store } from '../src/ports/store.ts';
import { eventsContract } from '../src/testing/contracts/events.contract.ts';
import { makeBatch, makeItems, makeOutcome } from '../src/testing/factories.ts';
import { describePostgres } from '../src/testing/temporary-postgres.ts';
import { openMemoryStore } from '../src/testing/temporary-store.ts';
import { until } from '../src/testing/until.ts';

const clock = { now: () => Date.now() };

describePostgres(
  'Events on PostgreSQL',
  (postgres) => {
    eventsContract('postgres', async () => {
      const store = await openMemoryStore();
      const events = await createPostgresEvents({ url: postgres.url, boot: 'only', store, clock });
      return {
        events,
        async close() {
          await events.close();
          await store.close();
        },
      };
    });

    test('tells the other process each stored event once and in order, wherever it was made', async () => {
      const { store, here, there, actAs } = await openTwo();
      const heard = [here, there].map((events) => hear(events));
      const batch = await create(store);
      for (let i = 0; i < 10; i++) {
        actAs(i % 2 === 0 ? here : there);
        await store.update({ ...ref(batch), now: Date.now(), by: 'tester', fields: { priority: i % 10 } });
      }
      const { event_seq } = await store.get(ref(batch));
      for (const list of heard) {
        await until('all was heard', () => seqs(list, batch).length >= event_seq);
        expect(seqs(list, batch)).toEqual(upTo(event_seq));
      }
    });

    test('tells the other process how far a batch is, and which items ended with what', async () => {
      const { store, here, there } = await openTwo();
      const heard = hear(there);
      const batch = await store.start(act(await create(store)));
      const answer = await store.lease({
        token: 't',
        batch_id: batch.id,
        worker: 'w',
        boot: 'b',
        width: 4,
        limit: 4,
        idle: true,
        now: Date.now(),
      });
      if (!('lease' in answer)) throw new Error(answer.refused);
      const outcomes = answer.lease.items
        .slice(0, 3)
        .map((item) => makeOutcome(item, item.seq === 2 ? { status: 'failed' } : {}));
      await store.record([{ token: 't', batch_id: batch.id, outcomes, more: 0, width: 4 }], Date.now());
      const jobs = outcomes.map(({ seq }) => ({
        job_id: `${batch.id}/${seq}`,
        success: false,
        result: null,
      }));
      here.publish('default', { type: 'batch_jobs_complete', batch_id: batch.id, jobs });
      here.publish('default', { ...progress(batch), completed: 99 });

      await until(
        'both were heard',
        () => find(heard, 'batch_progress').length * find(heard, 'batch_jobs_complete').length > 0,
      );
      expect(find(heard, 'batch_progress').at(-1)).toMatchObject({
        batch_id: batch.id,
        status: 'running',
        total: 4,
        completed: 2,
        failed: 1,
      });
      expect(find(heard, 'batch_jobs_complete').at(-1)).toMatchObject({
        jobs: [
          { job_id: `${batch.id}/1`, success: true, result: { seq: 1 } },
          { job_id: `${batch.id}/2`, success: false },
          { job_id: `${batch.id}/3`, success: true, result: { seq: 3 } },
        ],
      });
    });

    test('tells one space nothing of another one', async () => {
      const { store, there } = await openTwo();
      const heard = hear(there, 'mine');
      await create(store, 'theirs');
      const mine = await create(store, 'mine');
      await until('the own one was heard', () => heard.length > 0);
      expect(new Set(heard.map(({ batch_id }) => batch_id))).toEqual(new Set([mine.id]));
    });

    test('tells that a batch was deleted, although it can be read no more', async () => {
      const { store, there } = await openTwo();
      const batch = await create(store);
      const heard = hear(there);
      await store.delete(act(batch));
      await until('it was heard', () => find(heard, 'batch_deleted').length > 0);
      expect(find(heard, 'batch_deleted')).toMatchObject([{ batch_id: batch.id }]);
    });

    test('reads what it missed while its connection was lost', async () => {
      const { store, there } = await openTwo();
      const heard = hear(there);
      const known = await create(store);
      await until('it was heard', () => seqs(heard, known).length > 0);

      await postgres.stop();
      await store.start(act(known));
      await store.pause({ ...act(known), mode: 'drain', reason: 'user' });
      const unknown = await store.start(act(await create(store)));
      await postgres.start();
      for (const { id, space } of [known, unknown]) {
        const { event_seq } = await store.get({ space, batch_id: id });
        await until('all was heard', () => seqs(heard, { id }).length >= event_seq);
        expect(seqs(heard, { id })).toEqual(upTo(event_seq));
      }
    });

    test('reads what others said while it could not hear', async () => {
      const url = await postgres.database();
      const { store, there } = await openTwo(url);
      const heard = hear(there);
      const overheard: string[] = [];
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      onTestFinished(() => client.end());
      client.on('notification', ({ payload }) => overheard.push(payload ?? ''));
      await client.query('listen sheaf_events');
      const known = await create(store);
      await until('it was heard', () => seqs(heard, known).length > 0);

      const name = new URL(url).pathname.slice(1);
      await postgres.sql(`alter database "${name}" with allow_connections false`);
      await postgres.sql(
        `select pg_terminate_backend(pid, 5000) from pg_stat_activity
         where datname = $1 and application_name = 'sheaf events' and query like 'listen%'`,
        [name],
      );
      await store.start(act(known));
      const unknown = await create(store);
      await until('it was said', () => overheard.some((payload) => payload.includes(unknown.id)));
      expect(seqs(heard, unknown)).toEqual([]);
      await postgres.sql(`alter database "${name}" with allow_connections true`);
      const { event_seq } = await store.get(ref(known));
      await until('the one was heard', () => seqs(heard, known).length >= event_seq);
      await until('the other was heard', () => seqs(heard, unknown).length > 0);
      expect(seqs(heard, known)).toEqual(upTo(event_seq));
      expect(seqs(heard, unknown)).toEqual([1]);
    });

    test('misses nothing when connections are cut off again and again', async () => {
      const { store, there } = await openTwo();
      const heard = hear(there);
      const batch = await create(store);
      for (let i = 0; i < 8; i++) {
        await store.update({ ...act(batch), fields: { priority: i % 10 } });
        await postgres.terminate({ application_name: 'sheaf events' });
      }
      const { event_seq } = await store.get(ref(batch));
      await until('all was heard', () => seqs(heard, batch).length >= event_seq);
      expect(seqs(heard, batch)).toEqual(upTo(event_seq));
    });

    test('misses no batch when there are too many to name', async () => {
      const { store, here, there, actAs } = await openTwo();
      const heard = hear(there);
      const held: SheafEvent[] = [];
      actAs({ publish: (_, event) => held.push(event) });
      for (let i = 0; i < 510; i++) await create(store);
      for (const event of held) here.publish('default', event);
      const told = () => find(heard, 'batch_created').map(({ batch_id }) => batch_id);
      await until('all were heard', () => told().length >= 510);
      expect(new Set(told()).size).toBe(510);
    });

    test('tells later what the Store could not answer at once', async () => {
      const { store, there, break: breakStore } = await openTwo();
      const heard = hear(there);
      const mend = breakStore();
      const batch = await create(store);
      await until('it was asked in vain', () => mend.asked() > 0);
      expect(heard).toEqual([]);
      mend.now();
      await until('it was heard', () => seqs(heard, batch).length > 0);
    });

    test('speaks four times a second at most, and hears no strangers', async () => {
      const { here, there } = await openTwo();
      const heard = hear(there);
      const spoken: string[] = [];
      const client = new pg.Client({ connectionString: postgres.url });
      await client.connect();
      onTestFinished(() => client.end());
      client.on('notification', ({ payload }) => spoken.push(payload ?? ''));
      await client.query('listen sheaf_events');
      await client.query(`select pg_notify('sheaf_events', 'hello')`);
      const end = performance.now() + 1_000;
      let said = 0;
      await until('a second has passed', () => {
        here.publish('nobody', { type: 'batch_deleted', by: 'x', at: 0, seq: 1, batch_id: `bat_${said++}` });
        here.publish('nobody', {
          type: 'item_progress',
          batch_id: 'bat_1',
          seq: said,
          step: 'x',
          percent: 1,
        });
        return performance.now() > end;
      });
      expect(said).toBeGreaterThan(20);
      expect(spoken.length).toBeGreaterThan(1);
      // The stranger's, one at once, then one each quarter, and one that was on its way.
      expect(spoken.length).toBeLessThanOrEqual(7);
      expect(heard).toEqual([]);
    });

    test('says its last news when it closes', async () => {
      const { store, here, there } = await openTwo();
      const heard = hear(there);
      const batch = await create(store);
      await until('it was heard', () => seqs(heard, batch).length > 0);
      await store.start(act(batch));
      await here.close();
      const { event_seq } = await store.get(ref(batch));
      await until('all was heard', () => seqs(heard, batch).length >= event_seq);
    });

    /** Two processes on one Store; what it stores is published by the one that acts. */
    async function openTwo(url = postgres.url) {
      const store = await openMemoryStore();
      let isBroken = false;
      let asked = 0;
      const guarded: Store = {
        ...store,
        async events(query) {
          if (isBroken) {
            asked++;
            throw new Error('away');
          }
          return store.events(query);
        },
      };
      const open = (boot: string) => createPostgresEvents({ url, boot, store: guarded, clock });
      const [here, there] = await Promise.all([open('here'), open('there')]);
      let actor: Pick<PostgresEvents, 'publish'> = here;
      store.onEvents((space, stored) => {
        for (const event of stored) actor.publish(space, event);
      });
      onTestFinished(async () => {
        await here.close();
        await there.close();
        await store.close();
      });
      return {
        store,
        here,
        there,
        actAs(events: Pick<PostgresEvents, 'publish'>) {
          actor = events;
        },
        break() {
          isBroken = true;
          return {
            asked: () => asked,
            now() {
              isBroken = false;
            },
          };
        },
      };
    }
  },
  { own: true },
);

function hear(events: PostgresEvents, space = 'default'): SheafEvent[] {
  const heard: SheafEvent[] = [];
  events.subscribe(space, (event) => heard.push(event));
  return heard;
}

async function create(store: Store, space = 'default'): Promise<Batch> {
  return (await store.create(makeBatch({ space }), makeItems(4), { now: Date.now() })).batch;
}

const ref = ({ id, space }: Batch) => ({ space, batch_id: id });
const act = (batch: Batch) => ({ ...ref(batch), now: Date.now(), by: 'tester' });
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

/** The numbers of a batch's stored events, as they were heard. */
function seqs(heard: SheafEvent[], { id }: { id: string }): number[] {
  return heard.flatMap((event) => ('at' in event && event.batch_id === id ? [event.seq] : []));
}

function find<T extends SheafEvent['type']>(heard: SheafEvent[], type: T) {
  return heard.filter((event): event is Extract<SheafEvent, { type: T }> => event.type === type);
}

function progress(batch: Batch): Extract<SheafEvent, { type: 'batch_progress' }> {
  return {
    type: 'batch_progress',
    batch_id: batch.id,
    seq: batch.event_seq,
    status: batch.status,
    total: batch.total_items,
    completed: 0,
    failed: 0,
    running: 0,
    percent_complete: 0,
    estimated_time_remaining_ms: null,
    items_per_second: 0,
    bytes_per_second: 0,
  };
}
