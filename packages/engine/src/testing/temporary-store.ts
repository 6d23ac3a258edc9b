import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSqliteStore, type SqliteOptions } from '../adapters/store-sql/sqlite.ts';
import type { Store } from '../ports/store.ts';

/** An empty SQLite store that lives in memory and is gone when it is closed. */
export function openMemoryStore(): Promise<Store> {
  return openSqliteStore({ file: ':memory:', durable: false });
}

/** An empty store in a file of its own. Its `close` removes the file, too. */
export async function openTemporaryStore(
  open: (options: SqliteOptions) => Promise<Store> = openSqliteStore,
): Promise<Store> {
  const folder = makeFolder();
  const store = await open({ file: join(folder, 'sheaf.db'), durable: false });
  return {
    ...store,
    async close() {
      await store.close();
      rmSync(folder, { recursive: true });
    },
  };
}

/** A store in a file that outlives it, as a database outlives its server. */
export type LastingStore = {
  readonly file: string;
  /** The open store; another one after each `reopen`. */
  store(): Store;
  /** What a restart does. Whether the old server had time to say goodbye makes no difference to the file. */
  reopen(): Promise<void>;
  dispose(): Promise<void>;
};

export async function openLastingStore(): Promise<LastingStore> {
  const folder = makeFolder();
  const file = join(folder, 'sheaf.db');
  let store = await openSqliteStore({ file, durable: false });
  return {
    file,
    store: () => store,
    async reopen() {
      await store.close();
      store = await openSqliteStore({ file, durable: false });
    },
    async dispose() {
      await store.close();
      rmSync(folder, { recursive: true });
    },
  };
}

function makeFolder(): string {
  return mkdtempSync(join(tmpdir(), 'sheaf-store-'));
}
