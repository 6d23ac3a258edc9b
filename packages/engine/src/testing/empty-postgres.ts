import type { TemporaryPostgres } from './temporary-postgres.ts';

/** Empties the tables of a Store: a schema is slow to make, so the cases of a file share one. */
export async function emptyPostgres(postgres: TemporaryPostgres): Promise<void> {
  // Few rows are gone sooner by delete than by truncate; who refers to whom does not matter when all go.
  await postgres.sql(`do $$ declare name text; begin
    set local session_replication_role = replica;
    for name in select tablename from pg_tables where schemaname = 'sheaf' and tablename <> 'migration' loop
      execute format('delete from sheaf.%I', name);
    end loop; end $$`);
}
