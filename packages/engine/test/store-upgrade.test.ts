import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openSqliteStore, SQLITE_TYPES } from '../src/adapters/store-sql/sqlite.ts';
import { earlierDatabase, expectAllThere } from './fixtures/earlier-schema.ts';

describe('a SQLite database of an earlier release', () => {
  it.each([1, 2] as const)('comes along from schema %i with all that its items have met', async (version) => {
    const folder = mkdtempSync(join(tmpdir(), 'sheaf-upgrade-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'sheaf.db');
    const database = new DatabaseSync(file);
    for (const statement of earlierDatabase(SQLITE_TYPES, version)) database.exec(statement);
    database.close();
    const store = await openSqliteStore({ file, durable: false });
    await expectAllThere(store);
    await store.close();
    const again = await openSqliteStore({ file, durable: false });
    expect(await again.checkInvariants()).toEqual([]);
    await again.close();
  });
});
