import type { StoredEvent } from '@sheaf/protocol';
import type { Store } from '../../ports/store.ts';
import type { Db, Dialect } from './dialect.ts';
import { claiming } from './doomed.ts';
import { keeping } from './files.ts';
import { intake } from './intake.ts';
import { checking } from './invariants.ts';
import { leasing } from './lease.ts';
import { merging } from './merge.ts';
import { pruning } from './prune.ts';
import { readingBatches } from './read-batches.ts';
import { readingItems } from './read-items.ts';
import { recording } from './record.ts';
import { recovering } from './recovery.ts';
import { retrying } from './retry.ts';
import { createSession, type EventListener, type OfferTurns } from './session.ts';
import { steering } from './steer.ts';
import { beating } from './workers.ts';

/**
 * The Store over a database: one part per noun, one session under all of them.
 *
 * @param options.offer Offers turns in the transaction that makes a batch leasable, as its last statement.
 */
export function createSqlStore(options: {
  db: Db;
  dialect: Dialect;
  offer?: OfferTurns;
  close: () => Promise<void>;
}): Store {
  const listeners: EventListener[] = [];
  const publish = (space: string, events: StoredEvent[]) => {
    for (const listener of listeners) listener(space, events);
  };
  const { db, dialect, offer } = options;
  const session = createSession({ db, dialect, publish, ...(offer && { offer }) });
  return {
    ...intake(session),
    ...steering(session),
    ...retrying(session),
    ...merging(session),
    ...leasing(session),
    ...recording(session),
    ...recovering(session),
    ...beating(session),
    ...pruning(session),
    ...claiming(session),
    ...readingBatches(session),
    ...readingItems(session),
    ...keeping(session),
    ...checking(session),
    onEvents: (listener) => {
      listeners.push(listener);
    },
    close: options.close,
  };
}
