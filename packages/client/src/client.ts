import type {
  Attempt,
  Batch,
  Cause,
  CreateBatch,
  Item,
  ItemStatus,
  Json,
  NewItem,
  ProcessorInfo,
  Progress,
  Retry,
  StoredEvent,
  Template,
  UpdateBatch,
  Wire,
  WorkerInfo,
} from '@sheaf/protocol';
import { type Live, type LiveOptions, openLive } from './live.ts';
import { type NewFile, streamFiles } from './multipart.ts';
import { type Call, createRequest, type Query, type RequestOptions } from './request.ts';

export type ClientOptions = RequestOptions;

/** How a list is narrowed, sorted and cut; all of it can be combined. */
export type ListQuery = {
  status?: readonly string[];
  customer_prefix?: string;
  date_from?: string;
  date_to?: string;
  processor?: string;
  /** `name=value` */
  label?: string;
  session_id?: number;
  search?: string;
  sort_by?: string;
  sort_order?: 'ASC' | 'DESC';
  /** @default 50, at most 200 */
  limit?: number;
  offset?: number;
};

export type Page<T> = { data: T[]; total: number; limit: number; offset: number };

export type ItemView = Wire<Item & { attempts: Attempt[] }>;

export type LogLine = Wire<{ id: number; seq: number; attempt: number; at: number; text: string }>;

type Signal = { signal?: AbortSignal };

/**
 * Everything a Sheaf server offers, typed. Each call answers what the server says or throws a
 * `SheafError` with the server's own code; `unreachable` when there is no answer.
 */
export type Client = {
  readonly url: string;

  /**
   * Makes a batch; `created` is false when the same `idempotency_key` had made it before.
   *
   * @param options.idempotency_key Makes a repeated call answer the batch that was made first.
   */
  create(
    batch: CreateBatch,
    options?: { idempotency_key?: string },
  ): Promise<{ batch: Wire<Batch>; created: boolean }>;
  /** Adds items that are data, or that name uploaded files. */
  addItems(batchId: string, items: readonly NewItem[]): Promise<Added>;
  /**
   * Uploads files, each an item of its own, in one call and in their order. A call that breaks may
   * have added the first ones: the batch's `total_items` tells.
   *
   * @param options.onBytes Told of each piece as it is sent. Not in browsers, which cannot stream a
   *   request over HTTP/1.1.
   */
  addFiles(
    batchId: string,
    files: readonly NewFile[],
    options?: Signal & { onBytes?: (bytes: number) => void },
  ): Promise<Added>;
  /** Adds items from lines of JSON (NDJSON), as they come. */
  addLines(batchId: string, lines: ReadableStream<Uint8Array>, options?: Signal): Promise<Added>;
  removeItem(batchId: string, seq: number): Promise<Wire<Batch>>;
  seal(batchId: string): Promise<Wire<Batch>>;

  start(batchId: string): Promise<Wire<Batch>>;
  approve(batchId: string): Promise<Wire<Batch>>;
  reject(batchId: string): Promise<Wire<Batch>>;
  /** @param options.mode `drain` lets running items finish, `now` gives them back. @default drain */
  pause(batchId: string, options?: { mode?: 'drain' | 'now'; force?: boolean }): Promise<Wire<Batch>>;
  resume(batchId: string): Promise<Wire<Batch>>;
  cancel(batchId: string): Promise<Wire<Batch>>;
  /** Sends failed items back to work: all of them when nothing is named. */
  retry(batchId: string, what?: Retry): Promise<{ retried: number; batch: Wire<Batch> }>;
  update(batchId: string, fields: UpdateBatch): Promise<Wire<Batch>>;
  merge(batchIds: readonly string[], name?: string): Promise<Wire<Batch>>;
  delete(batchId: string, options?: { force?: boolean }): Promise<void>;
  /** Resumes batches that a restart left for review. */
  recover(): Promise<{ recovered_count: number; failed_count: number; timestamp: string }>;
  /** Deletes final batches that ended `daysOld` days ago. */
  cleanup(daysOld: number): Promise<{ cleaned_count: number; days_old: number }>;

  /** @param options.items_limit First items to answer with it, 0–200. @default 0 */
  get(batchId: string, options?: { items_limit?: number }): Promise<Wire<Batch>>;
  list(query?: ListQuery): Promise<Page<Wire<Batch>>>;
  /** Batches by id, by a beginning or end of it, or by exact name; at most 10. */
  find(text: string): Promise<Wire<Batch>[]>;
  progress(batchId: string, options?: Signal): Promise<Wire<Progress>>;
  items(
    batchId: string,
    query?: {
      status?: readonly ItemStatus[];
      cause?: string;
      search?: string;
      after?: string;
      limit?: number;
    },
  ): Promise<{ data: Wire<Item>[]; next: string | null }>;
  item(batchId: string, seq: number): Promise<ItemView>;
  logs(
    batchId: string,
    query?: { seq?: number; after?: string; limit?: number },
  ): Promise<{ data: LogLine[]; next: string | null }>;
  causes(batchId: string): Promise<Wire<Cause>[]>;
  /** A snapshot of the batch's counters and ranges, about a kilobyte. */
  state(batchId: string): Promise<Json>;
  /** What happened to the batch, oldest first, after the event `since`. */
  events(batchId: string, since?: number): Promise<Wire<StoredEvent>[]>;

  processors(): Promise<ProcessorInfo[]>;
  templates(): Promise<Template[]>;
  /** The processes that work on batches now. */
  workers(): Promise<Wire<WorkerInfo>[]>;
  /** The bytes of a file, to be read as they come. */
  content(fileId: string, options?: Signal): Promise<ReadableStream<Uint8Array>>;
  /** What the server says of itself; answers without a key. */
  health(options?: { timeout_ms?: number }): Promise<Record<string, unknown>>;
  /** Live news until it is closed; reconnects by itself. */
  live(options: Omit<LiveOptions, 'url'>): Live;
};

type Added = { batch: Wire<Batch>; accepted: number; first_seq: number | null };

/** Makes a client for one server. It opens nothing until it is called. */
export function createClient(options: ClientOptions): Client {
  const request = createRequest(options);
  const json = async <T>(method: string, path: string, call?: Call): Promise<T> =>
    // What the server answers is its documented contract, tested there against the same types.
    (await (await request(method, path, call)).json()) as T;
  const get = <T>(path: string, call?: Call) => json<T>('GET', path, call);
  const post = <T>(path: string, body: unknown = {}) => json<T>('POST', path, { json: body });
  const act = (action: string) => (batchId: string) => post<Wire<Batch>>(`${batchPath(batchId)}/${action}`);

  return {
    url: options.url,

    async create(batch, { idempotency_key } = {}) {
      const headers = idempotency_key === undefined ? {} : { 'idempotency-key': idempotency_key };
      const response = await request('POST', '/api/batches', { json: batch, headers });
      return { batch: (await response.json()) as Wire<Batch>, created: response.status === 201 };
    },
    addItems: (batchId, items) => post(`${batchPath(batchId)}/items`, items),
    addFiles(batchId, files, { signal, onBytes } = {}) {
      const path = `${batchPath(batchId)}/items`;
      if (onBytes !== undefined) return json('POST', path, { ...streamFiles(files, onBytes), signal });
      const body = new FormData();
      for (const { name, content } of files) body.append('files', content, name);
      return json('POST', path, { body, signal });
    },
    addLines: (batchId, body, { signal } = {}) =>
      json('POST', `${batchPath(batchId)}/items`, {
        body,
        signal,
        headers: { 'content-type': 'application/x-ndjson' },
      }),
    removeItem: (batchId, seq) => json('DELETE', `${batchPath(batchId)}/items/${seq}`),
    seal: act('seal'),

    start: act('start'),
    approve: act('approve'),
    reject: act('reject'),
    pause: (batchId, how = {}) => post(`${batchPath(batchId)}/pause`, how),
    resume: act('resume'),
    cancel: act('cancel'),
    retry: (batchId, what = {}) => post(`${batchPath(batchId)}/retry`, what),
    update: (batchId, fields) => json('PATCH', batchPath(batchId), { json: fields }),
    merge: (batchIds, name) =>
      post('/api/batches/merge', { batch_ids: batchIds, ...(name !== undefined && { name }) }),
    async delete(batchId, { force } = {}) {
      await request('DELETE', batchPath(batchId), { query: { force } });
    },
    recover: () => post('/api/batches/recover'),
    cleanup: (daysOld) => post('/api/batches/cleanup', { days_old: daysOld }),

    get: (batchId, { items_limit = 0 } = {}) => get(batchPath(batchId), { query: { items_limit } }),
    list: (query = {}) => get('/api/batches', { query }),
    async find(text) {
      return (await get<{ data: Wire<Batch>[] }>('/api/batches', { query: { find: text } })).data;
    },
    progress: (batchId, { signal } = {}) =>
      get(`${batchPath(batchId)}/progress`, { signal, query: { items_limit: 0 } }),
    items: (batchId, query = {}) => get(`${batchPath(batchId)}/items`, { query }),
    item: (batchId, seq) => get(`${batchPath(batchId)}/items/${seq}`),
    logs: (batchId, query: Query = {}) => get(`${batchPath(batchId)}/logs`, { query }),
    async causes(batchId) {
      return (await get<{ data: Wire<Cause>[] }>(`${batchPath(batchId)}/failures`)).data;
    },
    state: (batchId) => get(`${batchPath(batchId)}/state`),
    async events(batchId, since = 0) {
      const path = `${batchPath(batchId)}/events`;
      return (await get<{ data: Wire<StoredEvent>[] }>(path, { query: { since } })).data;
    },

    async processors() {
      return (await get<{ data: ProcessorInfo[] }>('/api/processors')).data;
    },
    async templates() {
      return (await get<{ data: Template[] }>('/api/templates')).data;
    },
    async workers() {
      return (await get<{ data: Wire<WorkerInfo>[] }>('/api/workers')).data;
    },
    async content(fileId, { signal } = {}) {
      const path = `/api/files/${encodeURIComponent(fileId)}/content`;
      const response = await request('GET', path, { signal, timeout_ms: 0, headers: { accept: '*/*' } });
      return response.body ?? new ReadableStream({ start: (controller) => controller.close() });
    },
    health: ({ timeout_ms = 30_000 } = {}) => get('/healthz', { timeout_ms }),
    live: (live) => openLive({ ...live, url: options.url }),
  };
}

function batchPath(batchId: string): string {
  return `/api/batches/${encodeURIComponent(batchId)}`;
}
