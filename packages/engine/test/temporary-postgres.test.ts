import pg from 'pg';
import { expect, test } from 'vitest';
import { describePostgres } from '../src/testing/temporary-postgres.ts';
import { until } from '../src/testing/until.ts';

describePostgres(
  'A temporary PostgreSQL',
  (postgres) => {
    test('is an empty database, and makes others', async () => {
      const count = `select count(*)::int as tables from pg_tables where schemaname = 'public'`;
      expect(await postgres.sql(count)).toEqual([{ tables: 0 }]);
      await postgres.sql('create table t (n int)');
      const other = new pg.Client({ connectionString: await postgres.database() });
      await other.connect();
      expect((await other.query(count)).rows).toEqual([{ tables: 0 }]);
      await other.end();
    });

    test('ends the sessions that are named, no others', async () => {
      const lost = new Set<string>();
      const clients = ['first', 'second'].map((name) => {
        const client = new pg.Client({ connectionString: postgres.url, application_name: name });
        client.on('error', () => lost.add(name));
        return client;
      });
      for (const client of clients) await client.connect();
      expect(await postgres.terminate({ application_name: 'first' })).toBe(1);
      await until('it was lost', () => lost.size > 0);
      expect([...lost]).toEqual(['first']);
      await clients[1]?.end();
    });

    test('is gone while stopped, and back with what was committed', async () => {
      const url = postgres.url;
      await postgres.sql('create table kept (n int); insert into kept values (7)');
      await postgres.stop();
      await expect(postgres.sql('select 1')).rejects.toThrow('ECONNREFUSED');
      await postgres.start();
      expect(postgres.url).toBe(url);
      expect(await postgres.sql('select n from kept')).toEqual([{ n: 7 }]);
    });
  },
  { own: true },
);
