import { SheafError } from '@sheaf/protocol';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import type { Store } from '../../ports/store.ts';
import { KEEP_ALIVE } from '../postgres-pool.ts';
import type { Db } from './dialect.ts';
import { migrate } from './migrate.ts';
import { postgresDialect } from './postgres-dialect.ts';
import { adaptPool } from './postgres-pool.ts';
import { isRefused, toProblem } from './postgres-problems.ts';
import { watchSilence } from './postgres-silence.ts';
import type { OfferTurns } from './session.ts';
import { createSqlStore } from './store.ts';
import type { Tables } from './tables.ts';

export type PostgresOptions = {
  /** `postgres://user:password@host:port/database`. */
  url: string;
  /** Everything is in this schema, which is made when it is missing. @default 'sheaf' */
  schema?: string;
  /** The most connections to the database. @default 10 */
  pool?: number;
  /** What the connections are called in `pg_stat_activity`. @default 'sheaf' */
  application_name?: string;
  /**
   * Offers turns as the last statement of each transaction that makes a batch leasable, so that
   * neither comes true without the other.
   *
   * @default nobody is told
   */
  offer?: OfferTurns;
};

const CONNECT_MS = 10_000;

/** The plain name of a schema: it goes into statements as it is. */
const SCHEMA = /^[a-z_][a-z0-9_]{0,62}$/;

/**
 * The Store on PostgreSQL (13 or newer), READ COMMITTED, for any number of processes at once.
 *
 * @throws bad_config when the schema's name, the user or the database is wrong, or a newer release
 *   wrote it; store_unavailable when the server does not answer.
 */
export async function openPostgresStore(options: PostgresOptions): Promise<Store> {
  const { url, schema = 'sheaf', pool: max = 10, application_name = 'sheaf', offer } = options;
  if (!SCHEMA.test(schema)) {
    throw new SheafError(
      'bad_config',
      `A schema's name is of a–z, 0–9 and _; ${schema.slice(0, 80)} is not.`,
    );
  }
  const pool = new pg.Pool({
    connectionString: url,
    application_name,
    max,
    connectionTimeoutMillis: CONNECT_MS,
    ...KEEP_ALIVE,
    types: { getTypeParser },
    // Statements whose answers nobody waits for go out with the next one.
    pipeline: true,
  } as pg.PoolConfig);
  // An idle connection that breaks is replaced; who uses one gets the error itself.
  pool.on('error', () => {});
  const adapted = adaptPool(pool, schema, watchSilence({ url, application_name }));
  const db: Db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: adapted }) });
  const dialect = postgresDialect(schema);
  try {
    await migrate(db, dialect);
  } catch (error) {
    await db.destroy();
    throw isRefused(error) ? refusal(url, error) : toProblem(error);
  }
  return createSqlStore({ db, dialect, ...(offer && { offer }), close: () => db.destroy() });
}

/** Whole numbers come as numbers, and so do their sums: none of ours passes 2^53. */
const NUMBERS: ReadonlySet<number> = new Set([pg.types.builtins.INT8, pg.types.builtins.NUMERIC]);

const getTypeParser: pg.CustomTypesConfig['getTypeParser'] = (oid, format) =>
  NUMBERS.has(oid) ? Number : pg.types.getTypeParser(oid, format);

/** Says where, never with what password. */
function refusal(url: string, error: unknown): SheafError {
  const { host, pathname } = new URL(url);
  const what = error instanceof Error ? error.message : String(error);
  return new SheafError('bad_config', `PostgreSQL at ${host}${pathname} lets nobody in: ${what}.`, {}, error);
}
