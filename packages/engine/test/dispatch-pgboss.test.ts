import pg from 'pg';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import {
  createPgBossDispatch,
  type PgBossDispatch,
  type PgBossDispatchOptions,
} from '../src/adapters/dispatch-pgboss/pgboss-dispatch.ts';
import { openPostgresPool } from '../src/adapters/postgres-pool.ts';
import type { Turn } from '../src/ports/dispatch.ts';
import { dispatchContract } from '../src/testing/contracts/dispatch.contract.ts';
import { describePostgres } from '../src/testing/temporary-postgres.ts';
import { until } from '../src/testing/until.ts';

const NEVER = new AbortController().signal;

/** Longer than any test: who waits for a look in vain is found out. */
const NO_POLLING = 3_600_000;

describePostgres(
  'pg-boss on PostgreSQL',
  (postgres) => {
    beforeEach(async () => {
      await postgres.sql('drop schema if exists sheaf_turns cascade');
    });

    dispatchContract('pg-boss', () => createPgBossDispatch({ url: postgres.url }));

    describe('between processes', () => {
      test('wakes a taker of another process by NOTIFY', async () => {
        const [here, there] = await openTwo({ poll_ms: NO_POLLING });
        const taken = there.take(NEVER);
        await here.offer([turn('a')]);
        expect(await taken).toEqual(turn('a'));
      });

      test('finds a turn by looking where NOTIFY is mute', async () => {
        const [here, there] = await openTwo();
        await postgres.sql('update sheaf_turns.queue set notify = false');
        const [mute] = await openTwo({ poll_ms: 50 });
        const taken = mute.take(NEVER);
        await here.offer([turn('a')]);
        expect(await taken).toEqual(turn('a'));
        await there.close();
      });

      test('gives each turn to one taker only', async () => {
        const dispatches = await openTwo();
        const turns = Array.from({ length: 200 }, (_, i) => turn(`batch${i % 40}`, 1 + Math.floor(i / 40)));
        const taken: string[] = [];
        const stop = new AbortController();
        // Once all are filed: a turn that has ended may be filed again.
        await Promise.all(dispatches.map((dispatch) => dispatch.offer(turns)));
        const takers = dispatches.flatMap((dispatch) => [1, 2, 3].map(() => takeAll(dispatch)));
        await until('all were taken', () => taken.length >= turns.length);
        stop.abort();
        await Promise.all(takers);
        expect(taken.toSorted()).toEqual(turns.map(({ batch_id, n }) => `${batch_id}:${n}`).toSorted());

        async function takeAll(dispatch: PgBossDispatch): Promise<void> {
          for (let next = await dispatch.take(stop.signal); next; next = await dispatch.take(stop.signal)) {
            taken.push(`${next.batch_id}:${next.n}`);
            await dispatch.handBack(next);
          }
        }
      });

      test('gives turns to workers of their pool, and tells only those that they wait', async () => {
        const [some] = await openTwo();
        const [gpu] = await openTwo({ pools: ['gpu'] });
        const special = { ...turn('special'), pool: 'gpu' };
        const taken = some.take(NEVER);
        await some.offer([special, turn('plain')]);
        expect(await taken).toEqual(turn('plain'));
        await until('it waits there', () => gpu.hasWaiting());
        expect(some.hasWaiting()).toBe(false);
        const got = await take(gpu);
        expect(got).toEqual(special);
        expect(await gpu.handBack(got)).toEqual({ again: false });
      });

      test('takes turns away from a process that fell silent', async () => {
        const [here] = await openTwo();
        await here.offer([turn('a', 1, 7)]);
        await postgres.sql(
          `update sheaf_turns.job set state = 'active', heartbeat_on = now() - interval '7 s'`,
        );
        expect(await take(here)).toEqual(turn('a', 1, 7));
      });

      test('leaves turns to a process that works on them for long', async () => {
        const [here, there] = await openTwo();
        await here.offer([turn('a')]);
        const held = await take(here);
        const lastBeat = async () => {
          const [row] = await postgres.sql('select heartbeat_on::text as at from sheaf_turns.job');
          return row?.at;
        };
        const taken = await lastBeat();
        await until('it is touched', async () => (await lastBeat()) !== taken);
        expect(there.hasWaiting()).toBe(false);
        expect(await here.handBack(held)).toEqual({ again: false });
      });

      test('hands what it still holds on to others when it closes', async () => {
        const [here, there] = await openTwo();
        await here.offer([turn('a')]);
        await take(here);
        const taken = there.take(NEVER);
        await here.close();
        expect(await taken).toEqual(turn('a'));
      });
    });

    describe('within a transaction', () => {
      test('offers at the commit, and never when it is rolled back', async () => {
        const [here] = await openTwo({ poll_ms: NO_POLLING });
        const { client, executeSql } = await connect();
        const taken = here.take(NEVER);
        await client.query('begin');
        await here.offerIn(executeSql, [turn('undone')]);
        await client.query('rollback');
        await client.query('begin');
        await here.offerIn(executeSql, [turn('done')]);
        await client.query('commit');
        expect(await taken).toEqual(turn('done'));
      });

      test('calls those who looked while a waiting turn was offered again', async () => {
        const [here] = await openTwo({ poll_ms: NO_POLLING });
        const { client, executeSql } = await connect();
        await here.offer([turn('a'), turn('b')]);
        await client.query('begin');
        await here.offerIn(executeSql, [turn('a')]);
        // Taken one after the other: the second look finds nothing.
        expect(await take(here)).toEqual(turn('b'));
        const taken = here.take(NEVER);
        await until('it is idle', async () => {
          const rows = await postgres.sql(
            `select 1 from pg_stat_activity where application_name = 'sheaf turns' and state = 'active'`,
          );
          return rows.length === 0;
        });
        await client.query('commit');
        expect(await taken).toEqual(turn('a'));
      });

      test('lets nobody end a turn before he can see why it was offered again', async () => {
        const [here] = await openTwo();
        const { client, executeSql } = await connect();
        await here.offer([turn('a')]);
        const held = await take(here);
        await client.query('begin');
        await here.offerIn(executeSql, [turn('a')]);
        const end = here.handBack(held);
        let isOver = false;
        void end.then(() => {
          isOver = true;
        });
        await until('it waits for the transaction', async () => {
          const rows = await postgres.sql(
            `select 1 from pg_stat_activity where application_name = 'sheaf turns' and wait_event_type = 'Lock'`,
          );
          return rows.length > 0;
        });
        expect(isOver).toBe(false);
        await client.query('commit');
        expect(await end).toEqual({ again: true });
      });

      test('spoils no transaction and loses no turn, whatever many of them offer at once', async () => {
        const [here, there] = await openTwo();
        const many = Array.from({ length: 12 }, (_, i) => turn(`batch${i}`));
        const clients = await Promise.all(Array.from({ length: 6 }, connect));
        const stop = new AbortController();
        const taking = takeAndEnd();
        await Promise.all(
          clients.map(async ({ client, executeSql }, i) => {
            for (let round = 0; round < 15; round++) {
              const turns = many.map((each) => ({ ...each, priority: (round + i) % 3 }));
              await client.query('begin');
              await here.offerIn(executeSql, i % 2 === 0 ? turns : turns.toReversed());
              await client.query('commit');
            }
          }),
        );
        stop.abort();
        await taking;
        // Those that waited for each other in a ring were undone to their savepoint, and are offered later.
        await here.offer(many);
        const left = new Set<string>();
        await until('every turn can be taken', async () => {
          const next = await there.take(AbortSignal.timeout(5_000));
          if (next !== null) left.add(next.batch_id);
          return left.size === many.length;
        });

        async function takeAndEnd(): Promise<void> {
          for (let next = await there.take(stop.signal); next; next = await there.take(stop.signal)) {
            await there.handBack(next);
          }
        }
      });

      test('spoils no transaction when its tables are gone, and offers when they are back', async () => {
        const [here, there] = await openTwo();
        const { client, executeSql } = await connect();
        await client.query('create table if not exists work (n int)');
        await postgres.sql('drop schema sheaf_turns cascade');
        await client.query('begin');
        await client.query('insert into work values (1)');
        await here.offerIn(executeSql, [turn('a')]);
        await client.query('commit');
        expect(await postgres.sql('select n from work')).toEqual([{ n: 1 }]);
        expect(await take(there)).toEqual(turn('a'));
      });
    });

    describe('comes back', () => {
      const damages: [string, string][] = [
        ['its jobs were wiped', 'truncate sheaf_turns.job'],
        ['its queues were wiped', 'truncate sheaf_turns.queue cascade'],
        ['its schema was dropped', 'drop schema sheaf_turns cascade'],
        ['some of its tables were dropped', 'drop table sheaf_turns.job cascade'],
        ['its version was wiped', 'truncate sheaf_turns.version'],
      ];
      test.each(damages)('when %s', async (_, damage) => {
        const [here, there] = await openTwo();
        await here.offer([turn('held')]);
        const held = await take(here);
        await postgres.sql(damage);
        const taken = there.take(NEVER);
        await here.offer([turn('a')]);
        expect(await taken).toEqual(turn('a'));
        // Lost or not, it is ended, and the same turn can be offered and taken again.
        await here.handBack(held);
        await here.offer([held]);
        expect(await take(there)).toEqual(turn('held'));
      });

      test('when all its connections were cut off', async () => {
        const [here, there] = await openTwo({ poll_ms: NO_POLLING });
        await here.offer([turn('held')]);
        const held = await take(here);
        const taken = there.take(NEVER);
        expect(await postgres.terminate({ application_name: 'sheaf turns' })).toBeGreaterThan(2);
        await here.offer([turn('a')]);
        expect(await taken).toEqual(turn('a'));
        expect(await here.handBack(held)).toEqual({ again: false });
      });

      test('when its connections were cut off in the middle of an offer', async () => {
        const [here, there] = await openTwo();
        await here.offer([turn('a')]);
        const { client, executeSql } = await connect();
        await client.query('begin');
        await here.offerIn(executeSql, [turn('a')]);
        // It waits for the row, inside of its own transaction.
        const offered = there.offer([turn('a'), turn('b')]);
        await until('it waits', async () => {
          const rows = await postgres.sql(
            `select 1 from pg_stat_activity where application_name = 'sheaf turns' and wait_event_type = 'Lock'`,
          );
          return rows.length > 0;
        });
        await postgres.terminate({ application_name: 'sheaf turns' });
        await client.query('commit');
        await offered;
        expect([(await take(there)).batch_id, (await take(there)).batch_id].toSorted()).toEqual(['a', 'b']);
      });

      test('when a connection breaks that somebody holds and does not use', async () => {
        const pool = openPostgresPool({
          url: postgres.url,
          application_name: 'sheaf held',
          max: 1,
          query_timeout: 5_000,
        });
        onTestFinished(() => pool.end());
        const client = await pool.connect();
        await postgres.terminate({ application_name: 'sheaf held' });
        await expect(client.query('select 1')).rejects.toThrow();
        client.release(true);
        expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      });

      test('when the server was down, and says once that it was', async () => {
        const problems: unknown[] = [];
        const [here, there] = await openTwo({ onError: (error) => problems.push(error) });
        await here.offer([turn('held')]);
        const held = await take(here);
        await postgres.stop();
        const taken = there.take(NEVER);
        await here.offer([turn('a'), turn('b')]);
        expect(await here.handBack(held)).toEqual({ again: true });
        await until('both have noticed', () => problems.length === 2);
        await postgres.start();
        expect(['a', 'b', 'held']).toContain((await taken)?.batch_id);
        expect(['a', 'b', 'held']).toContain((await take(there)).batch_id);
        expect(problems).toEqual([
          expect.objectContaining({ code: 'store_unavailable' }),
          expect.objectContaining({ code: 'store_unavailable' }),
        ]);
      });
    });

    test('does not start without a database, and says so', async () => {
      const url = new URL(postgres.url);
      url.port = '1';
      await expect(createPgBossDispatch({ url: url.href })).rejects.toMatchObject({
        code: 'store_unavailable',
      });
      await expect(createPgBossDispatch({ url: postgres.url, schema: 'a"; drop' })).rejects.toMatchObject({
        code: 'bad_config',
      });
    });

    /** Two instances, as in two processes; the first one of a test finds nothing left of the one before. */
    async function openTwo(
      options: Partial<PgBossDispatchOptions> = {},
    ): Promise<[PgBossDispatch, PgBossDispatch]> {
      const open = async () => {
        const dispatch = await createPgBossDispatch({ url: postgres.url, ...options });
        onTestFinished(() => dispatch.close());
        return dispatch;
      };
      // Both at once: they also make the schema together.
      const two = await Promise.all([open(), open()]);
      return two;
    }

    async function connect() {
      const client = new pg.Client({ connectionString: postgres.url });
      await client.connect();
      onTestFinished(() => client.end());
      return { client, executeSql: (text: string, values: unknown[]) => client.query(text, values) };
    }
  },
  { own: true },
);

async function take(dispatch: PgBossDispatch): Promise<Turn> {
  const taken = await dispatch.take(NEVER);
  if (taken === null) throw new Error('There was no turn.');
  return taken;
}

function turn(batchId: string, n = 1, priority = 5): Turn {
  return { batch_id: batchId, n, priority };
}
