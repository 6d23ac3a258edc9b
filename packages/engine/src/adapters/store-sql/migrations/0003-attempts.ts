import type { ColumnTypes } from '../dialect.ts';

/** Columns of an item that only one with failed attempts has. */
const OF_FAILURES = ['error_kind', 'error_code', 'error_message', 'cause'];

/**
 * What became of an item moves to its attempts, unless its first one completed it, and a small table says
 * which items stand failed. Sent back to work, items that lie scattered in a large table are then written
 * close together in a small one, and their own rows are left alone.
 */
export function attempts({ integer, text, withoutRowid }: ColumnTypes): string[] {
  return [
    `alter table attempt rename to attempt_before`,
    `create table attempt (
      batch_no ${integer} not null,
      seq ${integer} not null,
      attempt ${integer} not null,
      status ${text} not null check (status = 'completed' or status = 'failed' or status = 'retry'),
      config_no ${integer},
      result ${text},
      error_kind ${text},
      error_code ${text},
      error_message ${text},
      metrics ${text},
      started_at ${integer},
      duration_ms ${integer},
      finished_at ${integer} not null,
      worker ${text},
      constraint attempt_key primary key (batch_no, seq, attempt)
    ) ${withoutRowid}`,
    `create table failure (
      batch_no ${integer} not null,
      seq ${integer} not null,
      attempt ${integer} not null,
      cause ${text} not null,
      primary key (batch_no, seq)
    ) ${withoutRowid}`,
    // With all that a retry asks for.
    `create index failure_by_cause on failure (batch_no, cause, seq, attempt)`,
    // The last one of an item that tells of no error was taken back by a retry by hand.
    `insert into attempt select a.batch_no, a.seq, a.attempt,
        case when i.status is null and i.error_code is null and a.attempt = i.attempt then 'failed' else 'retry' end,
        null, null, a.error_kind, a.error_code, a.error_message, null,
        a.started_at, a.finished_at - a.started_at, a.finished_at, a.worker
      from attempt_before a join item i on i.batch_no = a.batch_no and i.seq = a.seq`,
    `insert into attempt select batch_no, seq, attempt, status, config_no, result, error_kind, error_code,
        error_message, metrics, started_at, duration_ms, finished_at, null
      from item where status = 'failed' or (status = 'completed' and attempt > 1)`,
    `insert into failure select batch_no, seq, attempt, coalesce(cause, error_code, 'failed') from item
      where status = 'failed'`,
    `drop table attempt_before`,
    `update item set status = null, config_no = null, result = null, metrics = null, started_at = null,
        duration_ms = null, finished_at = null
      where status = 'failed' or attempt > 1 or (status is null and attempt > 0)`,
    `update item set attempt = 0 where status is null and attempt > 0
        and not exists (select 1 from attempt a where a.batch_no = item.batch_no and a.seq = item.seq)`,
    `drop index item_failed`,
    ...OF_FAILURES.map((column) => `alter table item drop column ${column}`),
    `create view item_state as select i.batch_no, i.seq, i.name, i.key, i.input, i.file_id, i.bytes,
        coalesce(i.status, nullif(a.status, 'retry')) as status,
        case when i.attempt = 0 or i.status is not null then i.attempt else coalesce(
          (select max(l.attempt) from attempt l where l.batch_no = i.batch_no and l.seq = i.seq), i.attempt)
        end as attempt,
        coalesce(i.config_no, a.config_no) as config_no, coalesce(i.result, a.result) as result,
        a.error_kind, a.error_code, a.error_message, f.cause,
        coalesce(i.metrics, a.metrics) as metrics, coalesce(i.started_at, a.started_at) as started_at,
        coalesce(i.duration_ms, a.duration_ms) as duration_ms,
        coalesce(i.finished_at, case when a.status <> 'retry' then a.finished_at end) as finished_at
      from item i
      left join failure f on i.status is null and i.attempt > 0 and f.batch_no = i.batch_no and f.seq = i.seq
      left join attempt a on i.status is null and i.attempt > 0 and a.batch_no = i.batch_no and a.seq = i.seq
        and (a.status <> 'failed' or f.seq is not null)
        and a.attempt = (select max(l.attempt) from attempt l where l.batch_no = i.batch_no and l.seq = i.seq)`,
  ];
}
