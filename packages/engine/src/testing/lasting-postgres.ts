import pg from 'pg';
import { afterAll } from 'vitest';
import { openPostgresStore } from '../adapters/store-sql/postgres.ts';
import type { Store } from '../ports/store.ts';
import { coverProblems } from './cover-check.ts';
import { emptyPostgres } from './empty-postgres.ts';
import type { TemporaryPostgres } from './temporary-postgres.ts';
import type { LastingStore } from './temporary-store.ts';

/**
 * Lasting stores on the database of a test file, one at a time: what one has left is gone when the
 * next is opened. Opening costs as much as a whole history, so a store goes on in the next one.
 */
export function lastingPostgres(postgres: TemporaryPostgres): () => Promise<LastingStore> {
  let store: Store | null = null;
  let beside: pg.Client | null = null;
  const open = () => openPostgresStore({ url: postgres.url, pool: 2 });
  afterAll(async () => {
    await store?.close();
    await beside?.end();
  });

  return async () => {
    let current = store ?? (await open());
    store = current;
    const reader = beside ?? (await connect(postgres.url));
    beside = reader;
    return {
      store: () => current,
      async reopen() {
        await current.close();
        current = await open();
        store = current;
      },
      problems: () =>
        coverProblems(async (table) => (await reader.query(`select * from sheaf.${table}`)).rows),
      dispose: () => emptyPostgres(postgres),
    };
  };
}

async function connect(url: string): Promise<pg.Client> {
  const types = { getTypeParser: (oid: number) => (oid === pg.types.builtins.INT8 ? Number : String) };
  // All columns are whole numbers or texts.
  const client = new pg.Client({ connectionString: url, types: types as pg.CustomTypesConfig });
  // Whoever asks it something learns from the answer that it broke.
  client.on('error', () => {});
  await client.connect();
  return client;
}
