import {
  ACTIVE_STATUSES,
  BATCH_STATUSES,
  FINAL_STATUSES,
  OUTCOME_STATUSES,
  PAUSE_REASONS,
} from '@sheaf/protocol/words';
import type { ColumnTypes } from '../dialect.ts';

/**
 * Which ranges go first within a priority: those that lost their host once, so that a death holds its
 * items up for seconds however large the batch is; then the others; last the suspects, which run alone.
 */
export const RANGE_RANK = 'case when crashes = 1 then -1 else crashes end';

/** The first schema. The database refuses nonsense by itself: states, finality and counters are CHECKed. */
export function initial(types: ColumnTypes): string[] {
  const { integer, serial, text, withoutRowid, roomToGrow } = types;
  return [
    `create table batch (
      no ${serial},
      id ${text} not null unique,
      space ${text} not null,
      name ${text} not null,
      description ${text} not null,
      status ${text} not null check (status in (${words(BATCH_STATUSES)})),
      pause_reason ${text} check (pause_reason in (${words(PAUSE_REASONS)})),
      paused_by ${text},
      paused_from ${text} check (paused_from in (${words(ACTIVE_STATUSES)})),
      round ${integer} not null,
      epoch ${integer} not null,
      open ${integer} not null check (open in (0, 1)),
      requires_approval ${integer} not null check (requires_approval in (0, 1)),
      processor ${text} not null,
      processor_version ${text} not null,
      pool ${text} not null,
      config ${text} not null,
      config_no ${integer} not null,
      template_id ${text},
      customer_prefix ${text},
      batch_date ${text} not null,
      batch_counter ${integer} not null,
      base_directory_name ${text} not null,
      session_id ${integer},
      labels ${text} not null,
      metadata ${text} not null,
      external_ids ${text} not null,
      policies ${text} not null,
      concurrency ${integer} not null check (concurrency between 1 and 1000),
      leased_width ${integer} not null check (leased_width >= 0),
      priority ${integer} not null check (priority between 0 and 9),
      next_seq ${integer} not null,
      total_items ${integer} not null check (total_items >= 0),
      completed_items ${integer} not null check (completed_items >= 0),
      failed_items ${integer} not null check (failed_items >= 0),
      skipped_items ${integer} not null check (skipped_items >= 0),
      cancelled_items ${integer} not null check (cancelled_items >= 0),
      total_bytes ${integer} not null,
      done_bytes ${integer} not null,
      canary_to ${integer},
      canary_left ${integer} not null check (canary_left >= 0),
      budget_failed ${integer} not null,
      budget_finished ${integer} not null,
      metrics ${text} not null,
      event_seq ${integer} not null,
      merged_into ${text},
      created_by ${text} not null,
      created_at ${integer} not null,
      updated_at ${integer} not null,
      started_at ${integer},
      paused_at ${integer},
      completed_at ${integer},
      ran_ms ${integer} not null,
      running_since ${integer},
      leftover ${integer} not null check (leftover in (0, 1)),
      hidden_at ${integer},
      unique (space, base_directory_name),
      check (completed_items + failed_items + skipped_items + cancelled_items <= total_items),
      check ((status = 'paused') = (pause_reason is not null)),
      check ((status in (${words(FINAL_STATUSES)})) = (completed_at is not null))
    )`,
    `create index batch_by_time on batch (space, created_at desc) where hidden_at is null`,
    `create index batch_by_status on batch (status, priority desc)`,
    `create index batch_by_session on batch (space, session_id) where session_id is not null`,
    `create index batch_leftover on batch (no) where leftover = 1`,
    `create index batch_hidden on batch (hidden_at) where hidden_at is not null`,
    `create table batch_config (
      batch_no ${integer} not null references batch (no),
      config_no ${integer} not null,
      config ${text} not null,
      primary key (batch_no, config_no)
    )`,
    `create table item (
      batch_no ${integer} not null,
      seq ${integer} not null,
      name ${text},
      key ${text},
      input ${text},
      file_id ${text},
      bytes ${integer} not null,
      status ${text} check (status in (${words(OUTCOME_STATUSES)})),
      attempt ${integer} not null,
      config_no ${integer},
      result ${text},
      error_kind ${text},
      error_code ${text},
      error_message ${text},
      cause ${text},
      metrics ${text},
      started_at ${integer},
      duration_ms ${integer},
      finished_at ${integer},
      primary key (batch_no, seq)
    ) ${withoutRowid} ${roomToGrow}`,
    // By the cause, which every failed item has and no other: a column that says more would change with every outcome.
    `create index item_failed on item (batch_no, cause, seq) where cause is not null`,
    `create index item_file on item (file_id) where file_id is not null`,
    `create table attempt (
      batch_no ${integer} not null,
      seq ${integer} not null,
      attempt ${integer} not null,
      error_kind ${text} not null,
      error_code ${text} not null,
      error_message ${text} not null,
      started_at ${integer} not null,
      finished_at ${integer} not null,
      worker ${text} not null,
      primary key (batch_no, seq, attempt)
    ) ${withoutRowid}`,
    `create table range (
      id ${serial},
      batch_no ${integer} not null,
      from_seq ${integer} not null,
      to_seq ${integer} not null,
      attempt ${integer} not null,
      last_attempt ${integer} not null,
      crashes ${integer} not null,
      priority ${integer} not null,
      ready_at ${integer} not null,
      token ${text},
      config_no ${integer} not null,
      check (from_seq <= to_seq),
      check (attempt <= last_attempt)
    )`,
    // What a lease looks for, best first; a waiting retry is not in it, however many there are.
    `create index range_ready on range (batch_no, priority desc, (${RANGE_RANK}), from_seq) where token is null and ready_at = 0`,
    `create index range_waiting on range (batch_no, ready_at) where token is null and ready_at > 0`,
    `create index range_held on range (token) where token is not null`,
    `create index range_by_seq on range (batch_no, from_seq)`,
    `create table lease (
      token ${text} primary key,
      batch_no ${integer} not null,
      epoch ${integer} not null,
      width ${integer} not null check (width >= 0),
      "left" ${integer} not null check ("left" >= 0),
      alone ${integer} not null,
      worker ${text} not null,
      boot ${text} not null,
      granted_at ${integer} not null,
      renewed_at ${integer} not null
    )`,
    `create index lease_by_batch on lease (batch_no)`,
    `create table worker (
      boot ${text} primary key,
      name ${text} not null,
      pools ${text} not null,
      processors ${text} not null,
      version ${text} not null,
      concurrency ${integer} not null,
      running ${integer} not null,
      started_at ${integer} not null,
      seen_at ${integer} not null
    )`,
    `create table cause (
      batch_no ${integer} not null,
      cause ${text} not null,
      code ${text} not null,
      message ${text} not null,
      count ${integer} not null,
      first_at ${integer} not null,
      last_at ${integer} not null,
      primary key (batch_no, cause)
    )`,
    `create table event (
      batch_no ${integer} not null,
      seq ${integer} not null,
      at ${integer} not null,
      type ${text} not null,
      data ${text} not null,
      primary key (batch_no, seq)
    ) ${withoutRowid}`,
    `create table log (
      id ${serial},
      batch_no ${integer} not null,
      seq ${integer} not null,
      attempt ${integer} not null,
      at ${integer} not null,
      text ${text} not null
    )`,
    `create index log_by_item on log (batch_no, seq, id)`,
    `create table file (
      id ${text} primary key,
      space ${text} not null,
      sha256 ${text} not null,
      name ${text} not null,
      bytes ${integer} not null,
      media_type ${text} not null,
      batch_no ${integer},
      seq ${integer},
      created_at ${integer} not null
    )`,
    `create index file_by_item on file (batch_no, seq) where batch_no is not null`,
    `create index file_by_blob on file (space, sha256)`,
    `create table doomed_blob (
      space ${text} not null,
      sha256 ${text} not null,
      doomed_at ${integer} not null,
      claimed_at ${integer},
      removed_at ${integer},
      primary key (space, sha256),
      check (removed_at is null or claimed_at is not null)
    ) ${withoutRowid}`,
    `create index doomed_blob_waiting on doomed_blob (doomed_at) where claimed_at is null`,
    `create index doomed_blob_claimed on doomed_blob (claimed_at) where claimed_at is not null and removed_at is null`,
    `create index doomed_blob_removed on doomed_blob (removed_at) where removed_at is not null`,
    `create table name_counter (
      space ${text} not null,
      prefix ${text} not null,
      batch_date ${text} not null,
      last ${integer} not null,
      primary key (space, prefix, batch_date)
    )`,
    `create table idempotency (
      space ${text} not null,
      route ${text} not null,
      key ${text} not null,
      body_hash ${text} not null,
      batch_id ${text} not null,
      created_at ${integer} not null,
      primary key (space, route, key)
    )`,
    `create table pack_record (
      pack ${text} not null,
      space ${text} not null,
      kind ${text} not null,
      id ${integer} not null,
      key ${text},
      data ${text} not null,
      created_at ${integer} not null,
      primary key (pack, space, kind, id)
    )`,
    `create unique index pack_record_key on pack_record (pack, space, kind, key) where key is not null`,
  ];
}

function words(list: readonly string[]): string {
  return list.map((word) => `'${word}'`).join(', ');
}
