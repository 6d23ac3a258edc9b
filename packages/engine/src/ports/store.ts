import type {
  Attempt,
  Batch,
  BatchStatus,
  Cause,
  Item,
  ItemStatus,
  Json,
  PauseReason,
  Policies,
  StoredEvent,
  UpdateBatch,
  WorkerInfo,
} from '@sheaf/protocol';
import type { BlobRef, RemovedBlob } from './files.ts';
import type { LeaseAnswer, ReadyBatch, RecordAnswer, RecordRequest, RenewAnswer, Served } from './leasing.ts';

/** One batch of one space; every method that takes it answers `not_found` for anybody else's. */
export type BatchRef = { space: string; batch_id: string };

/** Who asks, and when. */
export type Act = BatchRef & { now: number; by: string };

export type NewBatch = {
  id: string;
  space: string;
  name: string | null;
  description: string;
  processor: string;
  processor_version: string;
  /** The pool whose workers run it. */
  pool: string;
  config: Record<string, Json>;
  template_id: string | null;
  customer_prefix: string | null;
  session_id: number | null;
  labels: Record<string, string>;
  metadata: Record<string, Json>;
  external_ids: Record<string, string>;
  concurrency: number;
  priority: number;
  policies: Policies;
  requires_approval: boolean;
  open: boolean;
  created_by: string;
};

/** An item on its way in; `input` is JSON text. */
export type NewItemRow = {
  name: string | null;
  key: string | null;
  input: string | null;
  file_id: string | null;
};

export type IdempotencyKey = { route: string; key: string; body_hash: string };

export type ListBatches = {
  space: string;
  status?: readonly BatchStatus[];
  customer_prefix?: string;
  date_from?: string;
  date_to?: string;
  processor?: string;
  label?: { name: string; value: string };
  session_id?: number;
  search?: string;
  sort_by?: 'created_at' | 'updated_at' | 'name' | 'status' | 'total_items' | 'priority' | 'batch_date';
  sort_order?: 'ASC' | 'DESC';
  limit: number;
  offset: number;
};

export type ListItems = BatchRef & {
  status?: readonly ItemStatus[];
  /** The fingerprint of a failure, or just its code. */
  cause?: string;
  search?: string;
  after: number;
  limit: number;
};

export type FileRow = {
  id: string;
  space: string;
  sha256: string;
  name: string;
  bytes: number;
  media_type: string;
  created_at: number;
};

/** A worker process as it says of itself. */
export type WorkerBeat = Omit<WorkerInfo, 'seen_at' | 'is_alive'>;

/**
 * The truth. One method is one transaction: when it resolves, what it did is on disk; when it
 * rejects, nothing happened. Every move is guarded by the states of `BATCH_ACTIONS`: a wrong one is
 * refused with `wrong_status`, one already in effect changes nothing.
 */
export interface Store {
  // --- intake ---

  /**
   * Makes a draft with its items, its counter and its directory name. The same idempotency key with
   * the same body answers the batch made first; with another body it is `key_reused`.
   *
   * @param options.start Also starts it: no crash leaves a draft that somebody was to start.
   */
  create(
    batch: NewBatch,
    items: readonly NewItemRow[],
    options: { now: number; start?: boolean; idempotency?: IdempotencyKey },
  ): Promise<{ batch: Batch; created: boolean }>;
  /**
   * Adds items behind the last one. A final batch (not a cancelled one) goes back to `queued`.
   *
   * @throws too_many_items past 10,000,000; invalid, naming the item, when a file is not of this space.
   */
  append(act: Act, items: readonly NewItemRow[]): Promise<{ batch: Batch; first_seq: number }>;
  /** Removes an item that waits. @throws wrong_status when it runs or has an outcome. */
  removeItem(act: Act & { seq: number }): Promise<Batch>;
  /** Closes an open batch for more items; it settles when nothing is left. */
  seal(act: Act): Promise<Batch>;

  // --- steering ---

  /** From draft to queued, or to awaiting_approval when the batch asks for it. Sets the canary's end. */
  start(act: Act): Promise<Batch>;
  approve(act: Act): Promise<Batch>;
  /** Ends a batch that awaits approval as cancelled. */
  reject(act: Act): Promise<Batch>;
  /**
   * Nothing starts any more. `drain` lets started items finish and be recorded; `now` ends their
   * leases, so that late results are refused and the items are free again, unburned. A user's pause
   * is never overwritten by another reason.
   */
  pause(act: Act & { reason: PauseReason; mode: 'drain' | 'now' }): Promise<Batch>;
  resume(act: Act): Promise<Batch>;
  /** Ends the batch at once: what was recorded stays, what comes later is refused. */
  cancel(act: Act): Promise<Batch>;
  /** Name, description, labels, metadata, priority, concurrency, rate limit at any time; config while a draft. */
  update(act: Act & { fields: UpdateBatch }): Promise<Batch>;
  /**
   * Sends items back to work with `max_attempts` new attempts: the named ones, those of a cause (a
   * fingerprint, or an error code), or
   * all with a status (failed by default; in a cancelled batch the cancelled ones too). Completed
   * items are never redone: naming one, or one that waits or runs, is `wrong_status`, but one that
   * waits for its retry falls due now.
   */
  retry(
    act: Act & {
      items?: readonly number[];
      cause?: string;
      status?: readonly ('failed' | 'cancelled')[];
      config?: Record<string, Json>;
    },
  ): Promise<{ batch: Batch; retried: number }>;
  /** Moves the unrun items of drafts, paused (drained) and final batches of one processor into a new draft. */
  merge(options: {
    space: string;
    batch_ids: readonly string[];
    id: string;
    name: string | null;
    now: number;
    by: string;
  }): Promise<Batch>;
  /** Hides a draft or final batch at once; `prune` removes its rows. */
  delete(act: Act): Promise<void>;

  // --- the heart (system calls: a token names the work, not a space) ---

  /**
   * Leases up to `limit` items of a batch from its best ready ranges: priority, then those that lost
   * their host once, then those that lost none, then seq; what lost it twice goes last. No two leases ever hold the same item, and the widths of all leases of a batch
   * never exceed its concurrency. Of a batch with a rate limit no more is leased than has a slot and may
   * start, so that in any stretch of its time no more items start than it says, on all machines together;
   * what is given back unstarted counts. The caller makes the token, so that a lease whose answer was lost
   * can be given back by name.
   *
   * @param options.limit Some thousands for fast work, the turn's width for slow work.
   * @param options.idle Whether no handler runs in this worker (items that must run alone need it).
   * @param options.serves What this worker can run; a batch of another processor is refused untouched.
   *   @default everything
   */
  lease(options: {
    token: string;
    batch_id: string;
    worker: string;
    boot: string;
    width: number;
    limit: number;
    idle: boolean;
    serves?: readonly Served[];
    now: number;
  }): Promise<LeaseAnswer>;
  /**
   * Records the outcomes of many turns in one transaction. Each chunk is fenced by its lease: a lost
   * one drops its chunk only. An item whose outcome is there already is counted neither accepted nor
   * refused; if the first record of it ended the lease, the answer is still not `lost`. So a record
   * whose answer got lost may simply be made again. Pauses a batch whose failure budget is used up,
   * ends canaries, settles.
   *
   * @param options.confirmed Bytes of outputs that were looked for, and found, after that removal.
   * @throws bytes_doomed when bytes of an output are claimed or removed: see `claimDoomed`.
   */
  record(
    requests: readonly RecordRequest[],
    now: number,
    options?: { confirmed?: readonly RemovedBlob[] },
  ): Promise<RecordAnswer[]>;
  /** Keeps leases alive for another 6 s, and with them the right to start items. Not held: stop, the work is somebody else's. */
  renew(tokens: readonly string[], now: number): Promise<RenewAnswer[]>;
  /** Gives back what leases still hold, with no attempt burned. Unknown tokens are no error. */
  release(tokens: readonly string[], now: number): Promise<void>;
  /** Whether a lease would find something in this batch: it is active, has width left, and something is ready. */
  isReady(options: { batch_id: string; now: number }): Promise<boolean>;

  // --- workers ---

  /** Says that a worker is alive. One that is silent for 6 s counts as dead. */
  beat(worker: WorkerBeat, now: number): Promise<void>;
  /** The workers that beat and did not leave: the living first, the dead for an hour. */
  workers(now: number): Promise<WorkerInfo[]>;
  /** A worker ends in peace, with its leases given back. An unknown one is no error. */
  leave(options: { boot: string; now: number }): Promise<void>;

  // --- recovery and sweep ---

  /**
   * Takes the leases of dead hosts away: of every boot but this one that has no living worker. Ranges come back with
   * `crashes + 1`; an item that was alone burned an attempt and fails as `poison` past its last.
   * Batches of processors named in `review`, or whose own policy says so, are paused as `interrupted`.
   *
   * @param options.alone Whether nobody else works on this database: then every other boot is dead,
   *   whatever its worker said a second ago, and every batch that was at work is looked at.
   */
  recover(options: {
    boot: string;
    alone: boolean;
    review: readonly string[];
    policy: 'resume' | 'review' | null;
    now: number;
  }): Promise<{ leases: number; recovered: string[]; interrupted: string[]; poisoned: number }>;
  /**
   * Gives back leases nobody renewed for 6 s, clears what cancel and pause left, seals silent open
   * batches. The leases of a dead worker are left to `recover`, which counts the crash.
   */
  sweep(now: number): Promise<{ expired: number }>;
  /** Active batches with something ready, and when the next waiting retry falls due. */
  ready(options: {
    now: number;
    limit: number;
  }): Promise<{ batches: ReadyBatch[]; next_ready_at: number | null }>;
  /** Pauses every active batch (`disk_full`), or resumes those paused for that reason. Answers their ids. */
  pauseAll(options: { reason: PauseReason; now: number }): Promise<string[]>;
  resumeAll(options: { reason: PauseReason; now: number }): Promise<string[]>;
  /** Hides final batches that ended before `before`. Answers how many. */
  expire(options: { space: string | null; before: number; now: number }): Promise<number>;
  /**
   * Removes a slice of hidden batches' rows, or of uploads that no item has named for a day. Bytes that
   * no file names any more are doomed in the same transaction, so that no crash forgets them. 0 when
   * nothing is left to remove, or somebody else is at it.
   */
  prune(options: { now: number; limit: number }): Promise<{ removed: number }>;
  /**
   * Claims bytes that were doomed at `doomed_before` or earlier, and that still no file names, for the
   * caller to remove: nobody else is given them for two minutes, in which the caller has ended.
   *
   * From here on they cannot be named: `addFile` and `record` refuse with `bytes_doomed` (its details say
   * which bytes are `claimed`, and which were `removed`). Whoever stored equal bytes waits until they are
   * removed, and looks whether his are there. If so, nobody will remove them any more, and he names
   * them as confirmed.
   */
  claimDoomed(options: { now: number; doomed_before: number; limit: number }): Promise<BlobRef[]>;
  /**
   * Ends a claim, as far as it is still the caller's. What was removed is remembered for an hour, longer
   * than it takes to name what was stored; what surely was not is doomed anew.
   *
   * @param options.claimed_at The `now` of the claim.
   */
  endClaim(options: {
    claimed_at: number;
    removed: readonly BlobRef[];
    kept: readonly BlobRef[];
    now: number;
  }): Promise<void>;

  // --- reading ---

  get(ref: BatchRef): Promise<Batch>;
  list(query: ListBatches): Promise<{ data: Batch[]; total: number }>;
  /** The ids that begin or end like the text, or the batches of that exact name; at most 10. */
  find(options: { space: string; text: string }): Promise<Batch[]>;
  items(query: ListItems): Promise<{ data: Item[]; next: number | null }>;
  item(ref: BatchRef & { seq: number }): Promise<Item & { attempts: Attempt[] }>;
  logs(ref: BatchRef & { seq?: number; after: number; limit: number }): Promise<{
    data: { id: number; seq: number; attempt: number; at: number; text: string }[];
    next: number | null;
  }>;
  causes(ref: BatchRef): Promise<Cause[]>;
  /** Stored events after `since`, oldest first. */
  events(ref: BatchRef & { since: number; limit: number }): Promise<StoredEvent[]>;
  /** The counters and ranges of a batch: about a kilobyte, whatever its size. */
  state(ref: BatchRef): Promise<Json>;
  /** Recounts everything and answers each broken invariant (I1–I7) in words; for tests and `doctor`. Reads all rows. */
  checkInvariants(): Promise<string[]>;

  // --- files and records ---

  /**
   * Registers an uploaded file. Its bytes must be stored already; doomed ones are so no more.
   *
   * @param options.confirmed The bytes, if they were looked for, and found, after that removal.
   * @throws bytes_doomed when they are claimed or removed: see `claimDoomed`.
   */
  addFile(file: FileRow, options?: { confirmed?: readonly RemovedBlob[] }): Promise<void>;
  file(options: { space: string; file_id: string }): Promise<FileRow>;
  addRecords(options: {
    pack: string;
    space: string;
    kind: string;
    records: readonly { key: string | null; data: string }[];
    now: number;
  }): Promise<number[]>;
  records(options: {
    pack: string;
    space: string;
    kind: string;
    ids?: readonly number[];
    after: number;
    limit: number;
  }): Promise<{ id: number; key: string | null; data: string; created_at: number }[]>;
  countRecords(options: { pack: string; space: string; kind: string }): Promise<number>;
  updateRecord(options: {
    pack: string;
    space: string;
    kind: string;
    id: number;
    data: string;
  }): Promise<boolean>;
  removeRecords(options: {
    pack: string;
    space: string;
    kind: string;
    ids: readonly number[];
  }): Promise<number>;

  /** Calls the listener after each commit with the events stored by it. */
  onEvents(listener: (space: string, events: StoredEvent[]) => void): void;
  /** What the database is and how it keeps its word, for `doctor` and the first lines of `up`. */
  about(): Promise<Record<string, string | number>>;
  close(): Promise<void>;
}
