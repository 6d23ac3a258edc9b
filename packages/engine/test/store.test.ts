import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll } from 'vitest';
import { openThreadedSqliteStore } from '../src/adapters/store-sql/threaded.ts';
import type { Store } from '../src/ports/store.ts';
import { openMemoryStore, openTemporaryStore, storeContract } from '../src/testing/index.ts';

storeContract('sqlite', openMemoryStore);

// Threads are slow to start: all cases share them, and each empties the tables behind itself.
let threaded: Store;
beforeAll(async () => {
  threaded = await openTemporaryStore(openThreadedSqliteStore);
});
afterAll(() => threaded.close());
storeContract('sqlite on threads', async () => ({
  ...threaded,
  close: async () => empty(String((await threaded.about()).file)),
}));

function empty(file: string): void {
  const database = new DatabaseSync(file, { timeout: 5_000, enableForeignKeyConstraints: false });
  const tables = database.prepare(`select name from sqlite_schema where type = 'table'`).all();
  for (const { name } of tables) {
    if (name !== 'migration') database.exec(`delete from "${name}"`);
  }
  database.close();
}
