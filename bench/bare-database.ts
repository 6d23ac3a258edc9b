import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/**
 * The database of the bare programs: the columns and keys of Sheaf's items, a row of counters, and
 * the settings that are fastest with commits that survive a power failure.
 */
export function openBareDatabase(folder: string): DatabaseSync {
  const database = new DatabaseSync(join(folder, 'bare.db'));
  database.exec(`
    pragma journal_mode = wal;
    pragma synchronous = full;
    pragma cache_size = -65536;
    pragma temp_store = memory;
    pragma wal_autocheckpoint = 16384;
    create table batch (
      no integer primary key,
      next_seq integer not null,
      total_items integer not null,
      completed_items integer not null,
      failed_items integer not null
    );
    insert into batch values (1, 1, 0, 0, 0);
    create table item (
      batch_no integer not null,
      seq integer not null,
      name text,
      key text,
      input text,
      file_id text,
      bytes integer not null,
      status text check (status in ('completed', 'failed', 'cancelled', 'skipped')),
      attempt integer not null,
      config_no integer,
      result text,
      error_kind text,
      error_code text,
      error_message text,
      cause text,
      metrics text,
      started_at integer,
      duration_ms integer,
      finished_at integer,
      primary key (batch_no, seq)
    ) without rowid;
    create index item_failed on item (batch_no, cause, seq) where status = 'failed';
    create index item_file on item (file_id) where file_id is not null;
  `);
  return database;
}

/** Rows one transaction inserts: more gains nothing. */
const INSERT_ROWS = 10_000;

/** The prepared loop anybody would write to get rows in. */
export function insertItems(database: DatabaseSync, inputs: Iterable<string>): number {
  const insert = database.prepare(
    'insert into item (batch_no, seq, input, bytes, attempt) values (1, ?, ?, 0, 0)',
  );
  const grow = database.prepare('update batch set total_items = ? where no = 1');
  let seq = 0;
  for (const input of inputs) {
    if (seq % INSERT_ROWS === 0) database.exec('begin immediate');
    seq += 1;
    insert.run(seq, input);
    if (seq % INSERT_ROWS === 0) {
      grow.run(seq);
      database.exec('commit');
    }
  }
  if (seq % INSERT_ROWS !== 0) {
    grow.run(seq);
    database.exec('commit');
  }
  return seq;
}
