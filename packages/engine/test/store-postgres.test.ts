import { afterAll, beforeAll } from 'vitest';
import { openPostgresStore } from '../src/adapters/store-sql/postgres.ts';
import type { Store } from '../src/ports/store.ts';
import { emptyPostgres } from '../src/testing/empty-postgres.ts';
import { storeContract } from '../src/testing/index.ts';
import { describePostgres } from '../src/testing/temporary-postgres.ts';

describePostgres('the Store on PostgreSQL', (postgres) => {
  let store: Store;
  beforeAll(async () => {
    store = await openPostgresStore({ url: postgres.url, pool: 4 });
  });
  afterAll(() => store.close());

  storeContract('postgres', async () => ({ ...store, close: () => emptyPostgres(postgres) }));
});
