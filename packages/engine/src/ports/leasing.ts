import type { BatchStatus, Failure, Json, Policies, RateLimit } from '@sheaf/protocol';

/** An item in the hands of a turn. */
export type LeasedItem = {
  seq: number;
  name: string | null;
  key: string | null;
  /** JSON text; null for null. Parsed only when the item starts. */
  input: string | null;
  file: { sha256: string; name: string; bytes: number; media_type: string } | null;
  attempt: number;
  last_attempt: number;
  priority: number;
  config_no: number;
};

/** What a turn needs to know of the batch it works on. */
export type LeasedBatch = {
  id: string;
  space: string;
  processor: string;
  processor_version: string;
  policies: Policies;
  concurrency: number;
};

/** The right to run and record items, `width` at a time. */
export type Lease = {
  token: string;
  batch: LeasedBatch;
  epoch: number;
  width: number;
  items: LeasedItem[];
  /** The configs the items ask for, by number. */
  configs: Record<number, Json>;
  /** Whether the item may have killed its host: run it with nothing beside it. */
  alone: boolean;
};

/** What a worker can run: one major version of a processor. */
export type Served = { name: string; major: string };

/**
 * Why there is no lease: the batch is not active, asks for a processor that this worker does not
 * serve (`needs` says which), runs as many items as it may, has started as many as its rate limit lets it
 * (`next_ready_at`: when more may start), has nothing ready (`next_ready_at`: when a retry falls due), or
 * has only items that must run alone in an idle worker.
 */
export type LeaseRefusal = {
  refused: 'not_active' | 'not_served' | 'no_width' | 'rate_limited' | 'none_ready' | 'needs_idle';
  next_ready_at: number | null;
  /** Only with `not_served`. */
  needs: { processor: string; processor_version: string } | null;
};

export type LeaseAnswer = { lease: Lease } | LeaseRefusal;

export type OutputRow = { id: string; name: string; sha256: string; bytes: number; media_type: string };

/**
 * What became of one attempt. The fence is the lease's token and epoch, and the item's attempt: a
 * caller records only items that its lease gave it, with the numbers that came with them.
 */
export type Outcome = {
  seq: number;
  attempt: number;
  /** `retry`: the attempt failed, and another one follows at `ready_at`. */
  status: 'completed' | 'failed' | 'retry';
  /** JSON text. */
  result: string | null;
  error: Failure | null;
  /** The fingerprint of the error. */
  cause: string | null;
  /** With status `retry`: when the next attempt is due, and what the lease said of the item. */
  retry: { ready_at: number; last_attempt: number; priority: number } | null;
  config_no: number;
  metrics: Record<string, number> | null;
  outputs: OutputRow[] | null;
  log: string | null;
  /** Size of the item's input file, for the batch's `done_bytes`. */
  bytes: number;
  started_at: number;
  duration_ms: number;
};

/** The outcomes of one turn since its last record. */
export type RecordRequest = {
  token: string;
  /** Where outcomes are looked for whose lease has ended: an answer that got lost comes as a second record. */
  batch_id: string;
  outcomes: Outcome[];
  /** Lease up to this many more items under the same token; 0 for none. */
  more: number;
  /** Slots the turn wants to hold from here on, at least those with a handler running. */
  width: number;
};

export type RecordAnswer = {
  token: string;
  /** The lease is no more; what the turn still holds is not its own. */
  lost: boolean;
  accepted: number;
  /** Refused because another worker has the item, or the batch was cancelled. */
  refused: number;
  /** The batch as of this commit; null with a lost lease. */
  batch: BatchPulse | null;
  /** Slots of the lease from here on: never more than it has items left, so unused ones are free at once. */
  width: number;
  /** What `more` brought. */
  items: LeasedItem[];
  configs: Record<number, Json>;
  /** With `more` that brought nothing: when a retry falls due, or its rate limit lets the batch start more. */
  next_ready_at: number | null;
};

/** The numbers that move while a batch runs. */
export type BatchPulse = {
  id: string;
  space: string;
  status: BatchStatus;
  concurrency: number;
  priority: number;
  rate_limit: RateLimit | null;
  total_items: number;
  completed_items: number;
  failed_items: number;
  skipped_items: number;
  cancelled_items: number;
  running_items: number;
  done_bytes: number;
  ran_ms: number;
  event_seq: number;
};

export type RenewAnswer = {
  token: string;
  held: boolean;
  status: BatchStatus | null;
  concurrency: number;
  width: number;
};

/** A batch that has something ready to lease, for the sweep to offer. */
export type ReadyBatch = { batch_id: string; priority: number; concurrency: number; pool: string };
