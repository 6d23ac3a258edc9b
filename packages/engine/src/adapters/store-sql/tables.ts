import type { BatchStatus, ItemStatus, PauseReason } from '@sheaf/protocol';
import type { Generated } from 'kysely';

/** Truth values are 0 and 1; JSON is text; times are milliseconds. Both databases agree on that. */
type Flag = 0 | 1;

export type BatchTable = {
  /** Short number used inside the database: rows of ten million items do not repeat a long id. */
  no: Generated<number>;
  id: string;
  space: string;
  name: string;
  description: string;
  status: BatchStatus;
  pause_reason: PauseReason | null;
  paused_by: string | null;
  /** Where a resume leads back to; says something only while paused. */
  paused_from: Extract<BatchStatus, 'queued' | 'running'> | null;
  round: number;
  /** Raised by cancel, pause(now) and delete: leases of an older epoch can neither renew nor record. */
  epoch: number;
  open: Flag;
  /** Still to be approved: an approval sets it to 0. */
  requires_approval: Flag;
  processor: string;
  processor_version: string;
  /** The workers of this pool run it. */
  pool: string;
  config: string;
  config_no: number;
  template_id: string | null;
  customer_prefix: string | null;
  batch_date: string;
  batch_counter: number;
  base_directory_name: string;
  session_id: number | null;
  labels: string;
  metadata: string;
  external_ids: string;
  policies: string;
  concurrency: number;
  /** The widths of all leases of the current epoch. */
  leased_width: number;
  priority: number;
  /** Only grows: a seq is never given twice. */
  next_seq: number;
  total_items: number;
  completed_items: number;
  failed_items: number;
  skipped_items: number;
  cancelled_items: number;
  total_bytes: number;
  done_bytes: number;
  /** While set, nothing behind this seq is leased. */
  canary_to: number | null;
  /** Items up to `canary_to` without an outcome. */
  canary_left: number;
  /** Failures and finished items that the failure budget has forgiven. */
  budget_failed: number;
  budget_finished: number;
  /** When items started lately, as far as its rate limit asks; null without one. */
  rate_starts: string | null;
  /** The stretch of its rate limit: `next_start_at` is never further ahead, but after the clock was set back. */
  rate_per_ms: number | null;
  /** Null while its rate limit lets items start. */
  next_start_at: number | null;
  metrics: string;
  event_seq: number;
  merged_into: string | null;
  created_by: string;
  created_at: number;
  updated_at: number;
  started_at: number | null;
  paused_at: number | null;
  completed_at: number | null;
  ran_ms: number;
  running_since: number | null;
  /** Leases or ranges of an older epoch are still to be cleared. */
  leftover: Flag;
  hidden_at: number | null;
};

export type ConfigTable = { batch_no: number; config_no: number; config: string };

export type ItemTable = {
  batch_no: number;
  seq: number;
  name: string | null;
  key: string | null;
  input: string | null;
  file_id: string | null;
  bytes: number;
  /** Set when its first attempt completed it, or when nothing had to be done: then it has no row of an attempt. */
  status: Extract<ItemStatus, 'completed' | 'skipped'> | null;
  /** 0 until it was tried. Without a status anything else means that its attempts say what became of it. */
  attempt: number;
  config_no: number | null;
  result: string | null;
  metrics: string | null;
  started_at: number | null;
  duration_ms: number | null;
  finished_at: number | null;
};

/** Each attempt that is over, but a first one that completed its item. Written once. */
export type AttemptTable = {
  batch_no: number;
  seq: number;
  attempt: number;
  /** `retry`: another one follows by itself. `failed`: none did; only a retry by hand goes on from there. */
  status: 'completed' | 'failed' | 'retry';
  config_no: number | null;
  result: string | null;
  error_kind: string | null;
  error_code: string | null;
  error_message: string | null;
  metrics: string | null;
  started_at: number | null;
  duration_ms: number | null;
  /** When it was recorded. */
  finished_at: number;
  /** Who ran it, where that helps to find out why it failed. */
  worker: string | null;
};

/** The items that stand failed, until they are sent back to work. */
export type FailureTable = { batch_no: number; seq: number; attempt: number; cause: string };

/** A view: each item with what its last attempt says, wherever that stands. */
export type ItemState = Omit<ItemTable, 'status'> & {
  status: Extract<ItemStatus, 'completed' | 'failed' | 'skipped'> | null;
} & Pick<AttemptTable, 'error_kind' | 'error_code' | 'error_message'> & { cause: string | null };

export type RangeTable = {
  id: Generated<number>;
  batch_no: number;
  from_seq: number;
  to_seq: number;
  attempt: number;
  last_attempt: number;
  crashes: number;
  priority: number;
  /** 0: ready. A waiting retry carries its time; the lease that finds it due sets it to 0. */
  ready_at: number;
  token: string | null;
  config_no: number;
  /** Null: every seq of it. Else it is sparse: so many items, the first at `from_seq`; those between are completed. */
  items: number | null;
};

export type LeaseTable = {
  token: string;
  batch_no: number;
  epoch: number;
  width: number;
  left: number;
  alone: Flag;
  worker: string;
  boot: string;
  granted_at: number;
  renewed_at: number;
};

export type WorkerTable = {
  boot: string;
  name: string;
  pools: string;
  processors: string;
  version: string;
  concurrency: number;
  running: number;
  started_at: number;
  seen_at: number;
};

export type CauseTable = {
  batch_no: number;
  cause: string;
  code: string;
  message: string;
  count: number;
  first_at: number;
  last_at: number;
};

export type EventTable = { batch_no: number; seq: number; at: number; type: string; data: string };

export type LogTable = {
  id: Generated<number>;
  batch_no: number;
  seq: number;
  attempt: number;
  at: number;
  text: string;
};

export type FileTable = {
  id: string;
  space: string;
  sha256: string;
  name: string;
  bytes: number;
  media_type: string;
  /** The item that produced it; null for uploads. */
  batch_no: number | null;
  seq: number | null;
  created_at: number;
};

/** Bytes that lost their last name: doomed, then claimed by a sweep, then removed. */
export type DoomedBlobTable = {
  space: string;
  sha256: string;
  doomed_at: number;
  claimed_at: number | null;
  removed_at: number | null;
};

export type CounterTable = { space: string; prefix: string; batch_date: string; last: number };

export type IdempotencyTable = {
  space: string;
  route: string;
  key: string;
  body_hash: string;
  batch_id: string;
  created_at: number;
};

export type RecordTable = {
  pack: string;
  space: string;
  kind: string;
  id: number;
  key: string | null;
  data: string;
  created_at: number;
};

export type Tables = {
  batch: BatchTable;
  batch_config: ConfigTable;
  item: ItemTable;
  attempt: AttemptTable;
  failure: FailureTable;
  item_state: ItemState;
  range: RangeTable;
  lease: LeaseTable;
  worker: WorkerTable;
  cause: CauseTable;
  event: EventTable;
  log: LogTable;
  file: FileTable;
  doomed_blob: DoomedBlobTable;
  name_counter: CounterTable;
  idempotency: IdempotencyTable;
  pack_record: RecordTable;
};
