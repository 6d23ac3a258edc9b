import type { Readable } from 'node:stream';
import type {
  Attempt,
  Batch,
  Cause,
  CreateBatch,
  Item,
  Json,
  NewItem,
  ProcessorInfo,
  Progress,
  Retry,
  SheafEvent,
  StoredEvent,
  Template,
  UpdateBatch,
  WorkerInfo,
} from '@sheaf/protocol';
import type { Records } from './ports/records.ts';
import type { FileRow, ListBatches, ListItems } from './ports/store.ts';

/** Where a call acts and for whom. @default space 'default', by 'system' */
export type Caller = { space?: string; by?: string };

/** A batch of the caller's space. */
export type Target = Caller & { batch_id: string };

/** An item on its way in: data, an uploaded file (`file_id`), or bytes that come with it (`content`). */
export type IncomingItem = NewItem & { content?: Readable; media_type?: string };

export type RecoveryReport = {
  /** Leases of dead workers that were taken away at start. */
  leases: number;
  /** Batches that go on by themselves. */
  recovered: string[];
  /** Batches that wait for review, paused as `interrupted`. */
  interrupted: string[];
  /** Items that lost their host once too often while alone. */
  poisoned: number;
};

/**
 * The batch engine: everything the server and the command line do, as a library.
 *
 * Every method may be called from anywhere at any time; two calls that exclude each other are
 * ordered by the Store, and the second one is refused with a `SheafError`.
 */
export interface Engine {
  /**
   * Makes a batch. Starts it unless `start` is false (the default without items). All items are
   * checked before anything is written; the answer comes when all is on disk.
   *
   * @throws invalid, unknown_processor, unknown_template, key_reused, too_many_items, storage_full
   */
  create(
    batch: CreateBatch,
    options?: Caller & { idempotency_key?: string; body_hash?: string },
  ): Promise<{ batch: Batch; created: boolean }>;
  /**
   * Adds items from a list or a stream, in bulk, with bounded memory. When an item is refused, those
   * before it stay: `details.accepted` says how many.
   */
  append(
    target: Target,
    items: Iterable<IncomingItem> | AsyncIterable<IncomingItem>,
  ): Promise<{ batch: Batch; accepted: number; first_seq: number | null }>;
  removeItem(target: Target & { seq: number }): Promise<Batch>;
  seal(target: Target): Promise<Batch>;

  start(target: Target): Promise<Batch>;
  approve(target: Target): Promise<Batch>;
  reject(target: Target): Promise<Batch>;
  /** @default mode 'drain'. `now` needs an idempotent processor, or `force`. */
  pause(target: Target & { mode?: 'drain' | 'now'; force?: boolean }): Promise<Batch>;
  resume(target: Target): Promise<Batch>;
  cancel(target: Target): Promise<Batch>;
  retry(target: Target & Retry): Promise<{ batch: Batch; retried: number }>;
  update(target: Target & { fields: UpdateBatch }): Promise<Batch>;
  merge(options: Caller & { batch_ids: readonly string[]; name?: string }): Promise<Batch>;
  /** Draft or final batches only; `force` cancels first. */
  delete(target: Target & { force?: boolean }): Promise<void>;
  /** Resumes batches that a crash or a stop left for review. */
  recover(options?: Caller): Promise<{ recovered_count: number; failed_count: number; timestamp: number }>;
  /** Deletes final batches that ended `days_old` days ago. */
  cleanup(options: Caller & { days_old: number }): Promise<{ cleaned_count: number; days_old: number }>;

  get(target: Target): Promise<Batch>;
  list(query: Omit<ListBatches, 'space'> & Caller): Promise<{ data: Batch[]; total: number }>;
  /** Batches by id, by a unique beginning or end of it, or by exact name; at most 10. */
  find(options: Caller & { text: string }): Promise<Batch[]>;
  progress(target: Target): Promise<Progress>;
  items(query: Omit<ListItems, 'space'> & Caller): Promise<{ data: Item[]; next: number | null }>;
  item(target: Target & { seq: number }): Promise<Item & { attempts: Attempt[] }>;
  logs(target: Target & { seq?: number; after?: number; limit?: number }): Promise<{
    data: { id: number; seq: number; attempt: number; at: number; text: string }[];
    next: number | null;
  }>;
  causes(target: Target): Promise<Cause[]>;
  state(target: Target): Promise<Json>;
  events(target: Target & { since: number; limit?: number }): Promise<StoredEvent[]>;
  /** Live news of a space, until the answer is called. */
  subscribe(options: Caller, listener: (event: SheafEvent) => void): () => void;
  /** Resolves when the batch is final, paused or deleted (`until: 'final'` ignores pauses); rejects wait_timeout. */
  wait(
    target: Target & { timeout_ms?: number; until?: 'final' | 'still'; signal?: AbortSignal },
  ): Promise<Batch>;

  /** Stores an upload, streamed. */
  upload(
    source: Readable,
    options: Caller & { name: string; media_type?: string; max_bytes?: number },
  ): Promise<FileRow>;
  file(options: Caller & { file_id: string }): Promise<FileRow>;
  openFile(
    options: Caller & { file_id: string; start?: number; end?: number },
  ): Promise<{ file: FileRow; stream: Readable }>;

  processors(): ProcessorInfo[];
  templates(): Template[];
  /** The processes that work on batches now: this one, and in a cluster all others. */
  workers(): Promise<WorkerInfo[]>;
  /** A pack's own records. */
  recordsOf(pack: string, space?: string): Records;

  /** What was found and done at the start. */
  readonly recovery: RecoveryReport;
  about(): Promise<Record<string, string | number>>;
  checkInvariants(): Promise<string[]>;
  /** Rejects when the engine had to stop by itself: `storage_failed`. Never resolves. */
  readonly failed: Promise<never>;
  /**
   * Stops: nothing is leased any more, running items finish for up to `drain_ms` and the rest goes
   * back unburned. Safe to call twice; a second call with `drain_ms: 0` ends the wait.
   */
  close(options?: { drain_ms?: number }): Promise<void>;
}
