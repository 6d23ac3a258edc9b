import { expect, onTestFinished, test } from 'vitest';
import { createPostgresClock } from '../src/adapters/clock-postgres/postgres-clock.ts';
import { describePostgres } from '../src/testing/temporary-postgres.ts';
import { until } from '../src/testing/until.ts';

const HOUR = 3_600_000;

describePostgres(
  'The clock of PostgreSQL',
  (postgres) => {
    test('tells the time of the database, whatever that is', async () => {
      const plain = await openClock();
      expect(Math.abs(plain.now() - Date.now())).toBeLessThan(500);
      await setClock(HOUR);
      const ahead = await openClock();
      expect(Math.abs(ahead.now() - Date.now() - HOUR)).toBeLessThan(500);
    });

    test('follows a clock that is set forward, and one that is set back by much', async () => {
      await setClock(0);
      const clock = await openClock({ every_ms: 20 });
      await setClock(HOUR);
      await until('it is an hour ahead', () => Math.abs(clock.now() - Date.now() - HOUR) < 1_000);
      await setClock(-HOUR);
      await until('it is an hour behind', () => Math.abs(clock.now() - Date.now() + HOUR) < 1_000);
    });

    test('never steps back by the little that measuring may be wrong', async () => {
      await setClock(0);
      const clock = await openClock({ every_ms: 20 });
      await setClock(-300);
      let before = clock.now();
      let steps = 0;
      await until('the database has been caught up with', () => {
        const now = clock.now();
        if (now < before) steps++;
        before = now;
        return now < Date.now() - 250;
      });
      expect(steps).toBe(0);
    });

    test('goes on while the database is away', async () => {
      await setClock(HOUR);
      const clock = await openClock({ every_ms: 20 });
      await postgres.stop();
      const started = clock.now();
      await until('time passes', () => clock.now() > started + 100);
      expect(Math.abs(clock.now() - Date.now() - HOUR)).toBeLessThan(500);
      await postgres.start();
      await setClock(0);
      await until('it is measured again', () => Math.abs(clock.now() - Date.now()) < 1_000);
    });

    test('does not start without a database, and says so', async () => {
      const url = new URL(postgres.url);
      url.port = '1';
      await expect(createPostgresClock({ url: url.href })).rejects.toMatchObject({
        code: 'store_unavailable',
      });
    });

    async function openClock(options: { every_ms?: number } = {}) {
      const clock = await createPostgresClock({ url: postgres.url, ...options });
      onTestFinished(() => clock.close());
      return clock;
    }

    /** A function that comes before the database's own one. */
    async function setClock(aheadMs: number): Promise<void> {
      await postgres.sql('create schema if not exists fake');
      await postgres.sql(`
        create or replace function fake.clock_timestamp() returns timestamptz language sql as
          $$ select pg_catalog.clock_timestamp() + ${aheadMs} * interval '1 ms' $$`);
      const name = new URL(postgres.url).pathname.slice(1);
      await postgres.sql(`alter database "${name}" set search_path = fake, pg_catalog, public`);
      // Sessions keep the path they began with.
      await postgres.terminate({ application_name: 'sheaf clock' });
    }
  },
  { own: true },
);
