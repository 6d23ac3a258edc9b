import type pg from 'pg';
import { inputOf } from '../nothing.ts';

/** The columns and keys of Sheaf's items, and a row of counters. */
const TABLES = `
  create table if not exists batch (
    no int8 primary key,
    next_seq int8 not null,
    total_items int8 not null,
    completed_items int8 not null,
    failed_items int8 not null
  );
  insert into batch values (1, 1, 0, 0, 0) on conflict do nothing;
  create table if not exists item (
    batch_no int8 not null,
    seq int8 not null,
    name text,
    key text,
    input text,
    file_id text,
    bytes int8 not null,
    status text check (status in ('completed', 'failed', 'cancelled', 'skipped')),
    attempt int8 not null,
    config_no int8,
    result text,
    error_kind text,
    error_code text,
    error_message text,
    cause text,
    metrics text,
    started_at int8,
    duration_ms int8,
    finished_at int8,
    primary key (batch_no, seq)
  );
  create index if not exists item_failed on item (batch_no, cause, seq) where status = 'failed';
  create index if not exists item_file on item (file_id) where file_id is not null;
`;

/** Rows one statement inserts: more gains nothing. */
const INSERT_ROWS = 10_000;

const INSERT = `
  with given as (
    insert into item (batch_no, seq, input, bytes, attempt)
    select 1, seq, input, 0, 0 from unnest($1::int8[], $2::text[]) as given (seq, input)
    returning 1
  )
  update batch set total_items = total_items + (select count(*) from given) where no = 1`;

export async function makeRawTables(client: pg.Client): Promise<void> {
  await client.query(TABLES);
}

export async function fillRaw(client: pg.Client, size: number): Promise<void> {
  for (let first = 1; first <= size; first += INSERT_ROWS) {
    const seqs = Array.from({ length: Math.min(INSERT_ROWS, size + 1 - first) }, (_, index) => first + index);
    const inputs = seqs.map((seq) => JSON.stringify(inputOf(seq)));
    await client.query({ name: 'insert', text: INSERT, values: [seqs, inputs] });
  }
}
