import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { SheafError } from '@sheaf/protocol';
import type { Store } from '../../ports/store.ts';
import type { EventListener } from './session.ts';
import type { SqliteOptions } from './sqlite.ts';
import { type Call, fromPlainError, type Reply } from './thread-messages.ts';
import { packArgs, unpackAnswer } from './thread-rows.ts';

/** Answered by the second connection: WAL lets them go on while a commit waits for the disk. */
const READS = [
  'get',
  'list',
  'find',
  'items',
  'item',
  'logs',
  'causes',
  'events',
  'state',
  'file',
  'records',
  'countRecords',
] as const satisfies readonly (keyof Store)[];

const WRITES = [
  'create',
  'append',
  'removeItem',
  'seal',
  'start',
  'approve',
  'reject',
  'pause',
  'resume',
  'cancel',
  'update',
  'retry',
  'merge',
  'delete',
  'lease',
  'record',
  'renew',
  'release',
  'isReady',
  'beat',
  'workers',
  'leave',
  'recover',
  'sweep',
  'ready',
  'pauseAll',
  'resumeAll',
  'expire',
  'prune',
  'claimDoomed',
  'endClaim',
  'checkInvariants',
  'addFile',
  'addRecords',
  'updateRecord',
  'removeRecords',
  'about',
] as const satisfies readonly (keyof Store)[];

type Missing = Exclude<keyof Store, (typeof READS)[number] | (typeof WRITES)[number] | 'onEvents' | 'close'>;

/**
 * The Store on SQLite, on threads of its own: one writes, one reads. A slow fsync never holds up the
 * caller's event loop, its heartbeats and its page, and reads never wait for commits.
 */
export async function openThreadedSqliteStore(options: SqliteOptions): Promise<Store> {
  const listeners: EventListener[] = [];
  const writer = await startThread(options, (space, events) => {
    for (const listener of listeners) listener(space, events);
  });
  // After the writer: it made the file and its schema.
  const reader = await startThread({ ...options, read_only: true }, () => {});
  const methods = (names: readonly Call['method'][], thread: Thread) =>
    names.map((name) => [name, (...args: unknown[]) => thread.call(name, args)] as const);
  const proxy = Object.fromEntries([...methods(READS, reader), ...methods(WRITES, writer)]);
  return {
    // Every method is in one of the lists (`Missing` is never); its arguments and answer pass unchanged.
    ...(proxy as unknown as [Missing] extends [never] ? Omit<Store, 'onEvents' | 'close'> : never),
    onEvents: (listener) => {
      listeners.push(listener);
    },
    async close() {
      await reader.close();
      await writer.close();
    },
  };
}

type Waiting = {
  method: Call['method'];
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
};

type Thread = { call(method: Call['method'], args: unknown[]): Promise<unknown>; close(): Promise<void> };

/**
 * V8 may crash the process when a thread optimises a WebAssembly wrapper that another one is done
 * with (seen as a SIGSEGV and as `Check failed: jit_page.has_value()`, Node 24.21). Node strips types
 * by WebAssembly in each thread; with a budget that is never used up, no wrapper is optimised.
 */
const NO_WRAPPER_TIER_UP = '--wasm-wrapper-tiering-budget=1000000000';

async function startThread(options: SqliteOptions, publish: EventListener): Promise<Thread> {
  setFlagsFromString(NO_WRAPPER_TIER_UP);
  const worker = new Worker(new URL('./store-thread.ts', import.meta.url), { workerData: options });
  const waiting = new Map<number, Waiting>();
  const opened = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  let last = 0;
  let isClosing = false;
  let end: SheafError | null = null;

  worker.on('message', (reply: Reply) => {
    if (reply.kind === 'events') return publish(reply.space, reply.events);
    if (reply.kind === 'ready') return opened.resolve();
    if (reply.kind === 'broken') return opened.reject(fromPlainError(reply.error));
    const caller = waiting.get(reply.id);
    waiting.delete(reply.id);
    if (reply.kind === 'done') caller?.resolve(unpackAnswer(caller.method, reply.result));
    else caller?.reject(fromPlainError(reply.error));
  });
  worker.on('error', (error) => fail(error));
  worker.on('exit', () => fail(null));

  function fail(cause: unknown): void {
    // One that ends by itself takes the truth with it: nothing can be kept any more.
    end ??= isClosing
      ? new SheafError('store_unavailable', 'The database is closed.')
      : new SheafError('storage_failed', 'The database thread has ended.', {}, cause ?? undefined);
    opened.reject(end);
    for (const { reject } of waiting.values()) reject(end);
    waiting.clear();
    ended.resolve();
  }

  const thread: Thread = {
    call(method, args) {
      if (end !== null) return Promise.reject(end);
      last += 1;
      const { promise, resolve, reject } = Promise.withResolvers<unknown>();
      waiting.set(last, { method, resolve, reject });
      worker.postMessage({ id: last, method, args: packArgs(method, args) } satisfies Call);
      return promise;
    },
    async close() {
      isClosing = true;
      if (end === null) await thread.call('close', []).catch(() => undefined);
      await ended.promise;
    },
  };
  await opened.promise;
  return thread;
}
