import { parentPort, workerData } from 'node:worker_threads';
import type { Store } from '../../ports/store.ts';
import { openSqliteStore, type SqliteOptions } from './sqlite.ts';
import { type Call, type Reply, toPlainError } from './thread-messages.ts';
import { packAnswer, unpackArgs } from './thread-rows.ts';

/** A Store on a thread of its own: calls come in as messages, and go out answered after their commit. */
const port = parentPort;
if (port === null) throw new Error('This module is the entry of a worker thread.');
const reply = (message: Reply) => port.postMessage(message);

try {
  const store = await openSqliteStore(workerData as SqliteOptions);
  store.onEvents((space, events) => reply({ kind: 'events', space, events }));
  port.on('message', (call: Call) => void answer(store, call));
  reply({ kind: 'ready' });
} catch (error) {
  reply({ kind: 'broken', error: toPlainError(error) });
}

async function answer(store: Store, { id, method, args }: Call): Promise<void> {
  try {
    // The proxy on the other side has the Store's own types; a message has none.
    const call = store[method] as (...args: unknown[]) => Promise<unknown>;
    reply({ kind: 'done', id, result: packAnswer(method, await call(...unpackArgs(method, args))) });
    if (method === 'close') port?.close();
  } catch (error) {
    reply({ kind: 'failed', id, error: toPlainError(error) });
  }
}
