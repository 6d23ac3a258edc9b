import { SheafError } from '@sheaf/protocol/words';
import { sql } from 'kysely';
import type { ColumnTypes, Db, Dialect } from './dialect.ts';
import { initial } from './migrations/0001-initial.ts';
import { rateLimit } from './migrations/0002-rate-limit.ts';
import { attempts } from './migrations/0003-attempts.ts';
import { sparseRanges } from './migrations/0004-sparse-ranges.ts';

/** In order; a migration never changes once released. */
const MIGRATIONS: readonly { version: number; up: (types: ColumnTypes) => string[] }[] = [
  { version: 1, up: initial },
  { version: 2, up: rateLimit },
  { version: 3, up: attempts },
  { version: 4, up: sparseRanges },
];

/**
 * Brings the schema up to date, one transaction a step, so that a kill in between leaves a whole step
 * behind and the next start goes on.
 *
 * @throws bad_config when a newer release wrote this database.
 */
export async function migrate(db: Db, dialect: Dialect): Promise<void> {
  await dialect.migrating(db, (locked) => migrateLocked(locked, dialect));
}

async function migrateLocked(db: Db, dialect: Dialect): Promise<void> {
  await sql`create table if not exists migration (version ${sql.raw(dialect.types.integer)} primary key)`.execute(
    db,
  );
  const { rows } = await sql<{
    version: number | null;
  }>`select max(version) as version from migration`.execute(db);
  const current = Number(rows[0]?.version ?? 0);
  const newest = MIGRATIONS.at(-1)?.version ?? 0;
  if (current > newest) {
    throw new SheafError(
      'bad_config',
      `The database has schema ${current}, this release knows up to ${newest}: start a newer release.`,
    );
  }
  for (const { version, up } of MIGRATIONS.filter((step) => step.version > current)) {
    await db.transaction().execute(async (trx) => {
      for (const statement of up(dialect.types)) await sql.raw(statement).execute(trx);
      await sql`insert into migration (version) values (${version})`.execute(trx);
    });
  }
}
