import pg from 'pg';
import { expect, it } from 'vitest';
import { openPostgresStore } from '../src/adapters/store-sql/postgres.ts';
import { postgresDialect } from '../src/adapters/store-sql/postgres-dialect.ts';
import { describePostgres } from '../src/testing/index.ts';
import { earlierDatabase, expectAllThere } from './fixtures/earlier-schema.ts';

describePostgres('a PostgreSQL database of an earlier release', (postgres) => {
  it.each([1, 2] as const)('comes along from schema %i with all that its items have met', async (version) => {
    const schema = `schema_${version}`;
    const client = new pg.Client({ connectionString: postgres.url });
    await client.connect();
    await client.query(`create schema ${schema}; set search_path to ${schema}`);
    const { types } = postgresDialect(schema);
    for (const statement of earlierDatabase(types, version)) await client.query(statement);
    await client.end();
    const store = await openPostgresStore({ url: postgres.url, schema, pool: 1 });
    await expectAllThere(store);
    await store.close();
    const again = await openPostgresStore({ url: postgres.url, schema, pool: 1 });
    expect(await again.checkInvariants()).toEqual([]);
    await again.close();
  });
});
