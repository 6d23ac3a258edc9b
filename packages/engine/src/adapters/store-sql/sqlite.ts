import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { SheafError } from '@sheaf/protocol/words';
import { Kysely, type RawBuilder, type SqlBool, SqliteDialect, sql } from 'kysely';
import type { LeasedItem } from '../../ports/leasing.ts';
import type { Store } from '../../ports/store.ts';
import type { ColumnTypes, Dialect } from './dialect.ts';
import { isCovered } from './is-covered.ts';
import { migrate } from './migrate.ts';
import { writeOutcomes } from './sqlite-outcomes.ts';
import { createSqlStore } from './store.ts';
import type { Tables } from './tables.ts';

/** The first release without the WAL-reset corruption of 3.7.0–3.51.2 (sqlite.org, 2026). */
const OLDEST_SQLITE = [3, 51, 3] as const;

export type SqliteOptions = {
  /** Path of the database, or `:memory:`. */
  file: string;
  /** Refuse to write; the schema must be there already. @default false */
  read_only?: boolean;
  /** False only in tests that need speed more than the power to survive one. @default true */
  durable?: boolean;
};

/**
 * The Store on SQLite, in the calling thread.
 *
 * @throws bad_config when SQLite is too old or does not keep `synchronous=FULL`.
 */
export async function openSqliteStore(options: SqliteOptions): Promise<Store> {
  try {
    return await open(options);
  } catch (error) {
    throw toProblem(error);
  }
}

async function open(options: SqliteOptions): Promise<Store> {
  const database = openDatabase(options);
  const statements = new Map<string, StatementSync>();
  const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: adapt(database, statements) }) });
  const dialect = sqliteDialect(database, statements);
  if (options.read_only !== true) await migrate(db, dialect);
  return createSqlStore({ db, dialect, close: () => db.destroy() });
}

function openDatabase({ file, read_only = false, durable = true }: SqliteOptions): DatabaseSync {
  const database = new DatabaseSync(file, { readOnly: read_only, timeout: 5_000 });
  checkVersion(database);
  const level = durable ? 2 : 0;
  if (!read_only) database.exec('pragma journal_mode = wal');
  // Asked for on every connection and read back: a build may fall to NORMAL once the file is WAL.
  database.exec(`pragma synchronous = ${level}`);
  const kept = readPragma(database, 'synchronous');
  if (kept !== level) {
    throw new SheafError(
      'bad_config',
      `SQLite does not keep synchronous=FULL (it says ${kept}); no write would be safe.`,
    );
  }
  database.exec('pragma foreign_keys = on; pragma cache_size = -16384; pragma temp_store = memory');
  // A checkpoint every 64 MB instead of every 4: fewer pauses, each page written once more rarely.
  database.exec('pragma wal_autocheckpoint = 16384; pragma journal_size_limit = 134217728');
  return database;
}

function checkVersion(database: DatabaseSync): void {
  const version = String(database.prepare('select sqlite_version() as version').get()?.version);
  const parts = version.split('.').map(Number);
  for (const [index, oldest] of OLDEST_SQLITE.entries()) {
    const part = parts[index] ?? 0;
    if (part > oldest) return;
    if (part < oldest) {
      throw new SheafError(
        'bad_config',
        `SQLite ${version} can corrupt its WAL; ${OLDEST_SQLITE.join('.')} or newer is needed.`,
      );
    }
  }
}

function readPragma(database: DatabaseSync, name: string): unknown {
  return Object.values(database.prepare(`pragma ${name}`).get() ?? {})[0];
}

/** `node:sqlite` in the shape Kysely's SQLite dialect expects. Statements are prepared once per text. */
function adapt(database: DatabaseSync, statements: Map<string, StatementSync>) {
  const toInput = (values: readonly unknown[]) => values.map(toSqlite);
  const shape = (statement: StatementSync) => ({
    reader: statement.columns().length > 0,
    all: (values: readonly unknown[]) => statement.all(...toInput(values)),
    run: (values: readonly unknown[]) => statement.run(...toInput(values)),
    iterate: (values: readonly unknown[]) => statement.iterate(...toInput(values)),
  });
  // To ask a statement for its columns costs more than many a statement itself.
  const shapes = new WeakMap<StatementSync, ReturnType<typeof shape>>();
  return {
    prepare(text: string) {
      // A full disk has ended the transaction already. To roll it back again would fail and hide why.
      if (text === 'rollback' && !database.isTransaction) return nothingToRollBack;
      const statement = prepared(database, statements, text);
      const known = shapes.get(statement) ?? shape(statement);
      shapes.set(statement, known);
      return known;
    },
    close: () => database.close(),
  };
}

const nothingToRollBack = {
  reader: false,
  all: () => [],
  run: () => ({ changes: 0, lastInsertRowid: 0 }),
  iterate: () => [].values(),
};

function toSqlite(value: unknown): SQLInputValue {
  if (value === undefined) return null;
  if (typeof value === 'boolean') return value ? 1 : 0;
  return value as SQLInputValue;
}

/** A bound on the cache: lists with `in (…)` make new texts, the hot ones are few. */
const MAX_STATEMENTS = 500;

function prepared(
  database: DatabaseSync,
  statements: Map<string, StatementSync>,
  text: string,
): StatementSync {
  let statement = statements.get(text);
  if (statement === undefined) {
    if (statements.size >= MAX_STATEMENTS) statements.clear();
    statement = database.prepare(text);
    statements.set(text, statement);
  }
  return statement;
}

const READ_ITEMS = `select seq, name, key, input, file_id from item i
  where batch_no = ? and seq between ? and ? and ${isCovered('?')} order by seq`;

type ItemColumns = [
  seq: number,
  name: string | null,
  key: string | null,
  input: string | null,
  file_id: string | null,
];

function readFile(
  database: DatabaseSync,
  statements: Map<string, StatementSync>,
  id: string,
): LeasedItem['file'] {
  const text = 'select sha256, name, bytes, media_type from file where id = ?';
  const row = prepared(database, statements, text).get(id);
  // The columns are those of the statement.
  return row === undefined ? null : ({ ...row } as LeasedItem['file']);
}

/** How its columns and tables are declared. */
export const SQLITE_TYPES: ColumnTypes = {
  integer: 'integer',
  serial: 'integer primary key',
  text: 'text',
  withoutRowid: 'without rowid',
  roomToGrow: '',
};

function sqliteDialect(database: DatabaseSync, statements: Map<string, StatementSync>): Dialect {
  return {
    name: 'sqlite',
    types: SQLITE_TYPES,
    // Writers come one after the other: nothing is ever locked against them, and nothing conflicts.
    forUpdate: sql``,
    forUpdateUnlocked: sql``,
    forKeeping: sql``,
    forUpdateOf: () => sql``,
    like: sql`like`,
    serialise: async () => undefined,
    trySweep: async () => true,
    migrating: (db, work) => work(db),
    snapshot: (db, work) => work(db),
    freeze: async () => undefined,
    isConflict: () => false,

    async insertMany(_db, table, rows) {
      const [first] = rows;
      if (first === undefined) return;
      const columns = Object.keys(first);
      const names = columns.map((column) => `"${column}"`).join(', ');
      const text = `insert into "${table}" (${names}) values (${columns.map(() => '?').join(', ')})`;
      const statement = prepared(database, statements, text);
      for (const row of rows) statement.run(...columns.map((column) => toSqlite(row[column])));
    },

    async writeOutcomes(_db, lease, outcomes, now) {
      const prepare = (text: string) => prepared(database, statements, text);
      return writeOutcomes(prepare, lease, outcomes, now);
    },

    // Range by range: what a range says of all its items is not read again with each of them.
    async readItems(_db, batchNo, ranges) {
      const statement = prepared(database, statements, READ_ITEMS);
      // Rows as lists, which take half the time of rows as objects.
      statement.setReturnArrays(true);
      const items: LeasedItem[] = [];
      for (const { from_seq, to_seq, attempt, last_attempt, priority, config_no } of ranges) {
        // The columns are those of the statement.
        const rows = statement.all(batchNo, from_seq, to_seq, attempt) as unknown as ItemColumns[];
        for (const [seq, name, key, input, fileId] of rows) {
          const file = fileId === null ? null : readFile(database, statements, fileId);
          items.push({ seq, name, key, input, file, attempt, last_attempt, priority, config_no });
        }
      }
      return items;
    },

    itemsOf: sql`join item i on i.batch_no = r.batch_no and i.seq between r.from_seq and r.to_seq`,

    isIn(column, values): RawBuilder<boolean> {
      return sql<boolean>`${sql.ref(column)} in (select value from json_each(${JSON.stringify(values)}))`;
    },

    asTable: (values) => sql`json_each(${JSON.stringify(values)}) as list`,

    hasLabel(column, name, value): RawBuilder<SqlBool> {
      return sql<SqlBool>`json_extract(${sql.ref(column)}, ${`$.${JSON.stringify(name)}`}) = ${value}`;
    },

    toProblem,

    async about() {
      const file = database.location() ?? ':memory:';
      const version = String(database.prepare('select sqlite_version() as version').get()?.version);
      const level = Number(readPragma(database, 'synchronous'));
      return {
        database: 'sqlite',
        version,
        journal_mode: String(readPragma(database, 'journal_mode')),
        synchronous: ['OFF', 'NORMAL', 'FULL', 'EXTRA'][level] ?? level,
        file,
      };
    },
  };
}

/** SQLite's primary result codes that speak of the disk, see sqlite.org/rescode.html. */
const BUSY = 5;
const IO_ERROR = 10;
const CORRUPT = 11;
const FULL = 13;
const NO_DATABASE = 26;

function toProblem(error: unknown): unknown {
  if (typeof error !== 'object' || error === null || !('errcode' in error)) return error;
  const code = Number(error.errcode) & 0xff;
  if (code === FULL)
    return new SheafError(
      'storage_full',
      'The disk of the database is full; make room and work goes on by itself.',
      {},
      error,
    );
  if (code === IO_ERROR)
    return new SheafError(
      'storage_failed',
      `The disk failed to keep a write (SQLite code ${error.errcode}).`,
      {},
      error,
    );
  if (code === CORRUPT || code === NO_DATABASE)
    return new SheafError(
      'storage_failed',
      'The database file is damaged; restore it from a backup.',
      {},
      error,
    );
  if (code === BUSY)
    return new SheafError('store_unavailable', 'The database is locked by another program.', {}, error);
  return error;
}
