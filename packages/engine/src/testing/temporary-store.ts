import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { openSqliteStore, type SqliteOptions } from '../adapters/store-sql/sqlite.ts';
import type { Store } from '../ports/store.ts';
import { coverProblems } from './cover-check.ts';

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

/** A database that outlives the Stores on it, as it outlives its server. */
export type LastingStore = {
  /** The open store; another one after each `reopen`. */
  store(): Store;
  /** What a restart does. Whether the old server had time to say goodbye makes no difference to the database. */
  reopen(): Promise<void>;
  /** What is wrong with its ranges, looked at past the Store. */
  problems(): Promise<string[]>;
  dispose(): Promise<void>;
};

/** In a SQLite file of its own. */
export async function openLastingStore(): Promise<LastingStore & { readonly file: string }> {
  const folder = makeFolder();
  const file = join(folder, 'sheaf.db');
  let store = await openSqliteStore({ file, durable: false });
  const beside = new DatabaseSync(file, { readOnly: true, timeout: 5_000 });
  const statements = new Map<string, StatementSync>();
  return {
    file,
    store: () => store,
    async reopen() {
      await store.close();
      store = await openSqliteStore({ file, durable: false });
    },
    problems: () =>
      coverProblems(async (table) => {
        const statement = statements.get(table) ?? beside.prepare(`select * from ${table}`);
        statements.set(table, statement);
        return statement.all();
      }),
    async dispose() {
      beside.close();
      await store.close();
      rmSync(folder, { recursive: true });
    },
  };
}

function makeFolder(): string {
  return mkdtempSync(join(tmpdir(), 'sheaf-store-'));
}
