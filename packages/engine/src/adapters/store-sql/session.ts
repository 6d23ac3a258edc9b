import { setTimeout } from 'node:timers/promises';
import {
  allowedActions,
  BATCH_ACTIONS,
  type BatchAction,
  type BatchStatus,
  SheafError,
  type StoredEvent,
} from '@sheaf/protocol/words';
import { CompiledQuery } from 'kysely';
import { turnsOf } from '../../domain/turns.ts';
import type { Turn } from '../../ports/dispatch.ts';
import type { Db, Dialect } from './dialect.ts';
import type { BatchTable } from './tables.ts';
import { livingBoots } from './workers.ts';

/** A batch's row as a transaction sees it. */
export type BatchRow = Omit<BatchTable, 'no'> & { no: number };

/** What of a batch's row a statement sets; undefined leaves a column as it is. */
export type BatchChanges = { [Column in keyof BatchRow]?: BatchRow[Column] | undefined };

type NewEvent = StoredEvent extends infer E
  ? E extends StoredEvent
    ? Omit<E, 'seq' | 'at' | 'batch_id'>
    : never
  : never;

/** One transaction: its queries, and the events that come true when it commits. */
export type Write = {
  db: Db;
  dialect: Dialect;
  /**
   * Stores an event as the batch's next one, in this transaction, together with what it tells of.
   *
   * @param changes Set in the batch's row by the same statement.
   * @returns The batch's row as it is then.
   */
  emit(
    batch: { no: number; id: string; space: string },
    at: number,
    event: NewEvent,
    changes?: BatchChanges,
  ): Promise<BatchRow>;
  /** Offers the batch's turns with the commit, if it can be leased by then. Most events do that themselves. */
  wake(batchNo: number, at: number): void;
};

/** Offers turns inside a transaction: they may be taken once it has committed. */
export type OfferTurns = (
  executeSql: (text: string, values: unknown[]) => Promise<{ rows: unknown[] }>,
  turns: Turn[],
) => Promise<void>;

/** What every part of the Store works with. */
export type Session = {
  db: Db;
  dialect: Dialect;
  /**
   * Runs one transaction; again from its beginning when it only met another one. Storage errors come
   * out as ours.
   *
   * Locks are taken in one order: leases (by token), items, batches (by number), free ranges, turns. A
   * batch's row is the lock of its free ranges: nothing of a batch changes for others but by a
   * transaction that holds it when it commits. So whoever holds it sees the batch stand still, and
   * whoever does not may only touch what its own leases hold.
   */
  write<T>(work: (tx: Write) => Promise<T>): Promise<T>;
  read<T>(work: (db: Db) => Promise<T>): Promise<T>;
};

/** How often a transaction that met another one is tried. */
const MAX_TRIES = 8;

export type EventListener = (space: string, events: StoredEvent[]) => void;

export function createSession(options: {
  db: Db;
  dialect: Dialect;
  publish: EventListener;
  offer?: OfferTurns;
}): Session {
  const { db, dialect, publish, offer } = options;
  return {
    db,
    dialect,
    async write(work) {
      for (let tries = 1; ; tries++) {
        try {
          return await writeOnce(work);
        } catch (error) {
          const again = error instanceof ChangedMeanwhile || dialect.isConflict(error);
          if (!again || tries === MAX_TRIES) throw dialect.toProblem(error);
        }
        // Apart in time, so that the same two do not meet again.
        await setTimeout(Math.random() * 5 * 2 ** tries);
      }
    },
    async read(work) {
      try {
        return await dialect.snapshot(db, work);
      } catch (error) {
        throw dialect.toProblem(error);
      }
    },
  };

  async function writeOnce<T>(work: (tx: Write) => Promise<T>): Promise<T> {
    const told: { space: string; event: StoredEvent }[] = [];
    const woken = new Map<number, number>();
    const wake = (no: number, at: number) => void woken.set(no, at);
    const result = await db.transaction().execute(async (trx) => {
      const answer = await work({
        db: trx,
        dialect,
        wake,
        async emit(batch, at, event, changes = {}) {
          const row = await emit(trx, told, { batch, at, event, changes });
          if (makesLeasable(event)) wake(batch.no, at);
          return row;
        },
      });
      if (offer !== undefined) await offerWoken(trx, woken, offer);
      return answer;
    });
    for (const { space, event } of told) publish(space, [event]);
    return result;
  }
}

async function emit(
  db: Db,
  told: { space: string; event: StoredEvent }[],
  {
    batch,
    at,
    event,
    changes,
  }: {
    batch: { no: number; id: string; space: string };
    at: number;
    event: NewEvent;
    changes: BatchChanges;
  },
): Promise<BatchRow> {
  // The counter is in the batch's row, so that two transactions cannot take the same number.
  const row = await db
    .updateTable('batch')
    .set((eb) => ({ ...changes, event_seq: eb('event_seq', '+', 1), updated_at: at }))
    .where('no', '=', batch.no)
    .returningAll()
    .executeTakeFirstOrThrow();
  const seq = row.event_seq;
  const { type, ...data } = event;
  await db
    .insertInto('event')
    .values({ batch_no: batch.no, seq, at, type, data: JSON.stringify(data) })
    .execute();
  told.push({ space: batch.space, event: { seq, at, batch_id: batch.id, ...event } as StoredEvent });
  return row as BatchRow;
}

/** What is told of a batch when it became leasable, or more of it did. */
function makesLeasable(event: NewEvent): boolean {
  if (event.type === 'batch_status') return event.status === 'queued';
  if (event.type === 'batch_changed') return event.fields.some((field) => LEASABLE_FIELDS.has(field));
  return event.type === 'items_added' || event.type === 'items_retried';
}

const LEASABLE_FIELDS: ReadonlySet<string> = new Set(['concurrency', 'priority', 'rate_limit', 'canary']);

/** Last of all: who offers a turn that an open transaction has offered waits for that one. */
async function offerWoken(db: Db, woken: ReadonlyMap<number, number>, offer: OfferTurns): Promise<void> {
  if (woken.size === 0) return;
  const rows = await db
    .selectFrom('batch')
    .select(['id', 'priority', 'concurrency', 'pool'])
    .where('no', 'in', [...woken.keys()])
    .where('status', 'in', ['queued', 'running'])
    .where('hidden_at', 'is', null)
    .orderBy('no')
    .execute();
  if (rows.length === 0) return;
  const workers = (await livingBoots(db, Math.max(...woken.values()))).length;
  const turns = rows.flatMap(({ id, ...row }) => turnsOf({ ...row, batch_id: id }, workers));
  await offer((text, values) => db.executeQuery(CompiledQuery.raw(text, values)), turns);
}

/** The batch of a space, or `not_found`: the same answer for a wrong id and for another space's batch. */
export async function findBatch(db: Db, ref: { space: string; batch_id: string }): Promise<BatchRow> {
  const row = await ofSpace(db, ref).executeTakeFirst();
  if (row === undefined) throw batchNotFound(ref.batch_id);
  return row as BatchRow;
}

function ofSpace(db: Db, ref: { space: string; batch_id: string }) {
  return db
    .selectFrom('batch')
    .selectAll()
    .where('id', '=', ref.batch_id)
    .where('space', '=', ref.space)
    .where('hidden_at', 'is', null);
}

function batchNotFound(id: string): SheafError {
  return new SheafError('not_found', `Batch not found: ${id.slice(0, 60)}`);
}

/** What a transaction relied on has changed before it could lock it: it begins anew. */
export class ChangedMeanwhile extends SheafError {
  constructor(batchId: string) {
    super('store_unavailable', `${batchId} is changing just now; try again.`);
  }
}

/** The batch of a space, as no other transaction can change it until this one ends. */
export async function lockBatch(tx: Write, ref: { space: string; batch_id: string }): Promise<BatchRow> {
  const row = await ofSpace(tx.db, ref).modifyEnd(tx.dialect.forUpdate).executeTakeFirst();
  if (row === undefined) throw batchNotFound(ref.batch_id);
  return row as BatchRow;
}

/** A batch by its number, locked; undefined when it was removed meanwhile. */
export async function lockRow(tx: Write, batchNo: number): Promise<BatchRow | undefined> {
  const row = await tx.db
    .selectFrom('batch')
    .selectAll()
    .where('no', '=', batchNo)
    .modifyEnd(tx.dialect.forUpdate)
    .executeTakeFirst();
  return row as BatchRow | undefined;
}

/** How an action stands to a batch's state: legal, in effect already, or refused with `wrong_status`. */
export function judge(action: BatchAction, status: BatchStatus): 'go' | 'already' {
  const rule: { from: readonly BatchStatus[]; already: readonly BatchStatus[] } = BATCH_ACTIONS[action];
  if (rule.from.includes(status)) return 'go';
  if (rule.already.includes(status)) return 'already';
  throw wrongStatus(action, status);
}

export function wrongStatus(action: string, status: BatchStatus, message?: string): SheafError {
  return new SheafError('wrong_status', message ?? `Cannot ${action} a batch that is ${status}.`, {
    current_status: status,
    allowed_actions: allowedActions(status),
  });
}

/** The part of an update that stops the clock of running time. */
export function stopClock(row: BatchRow, now: number): { ran_ms: number; running_since: null } {
  const stretch = row.running_since === null ? 0 : Math.max(0, now - row.running_since);
  return { ran_ms: row.ran_ms + stretch, running_since: null };
}

/** The batch's row as this transaction has left it. */
export async function reload(tx: Write, batchNo: number): Promise<BatchRow> {
  const row = await tx.db.selectFrom('batch').selectAll().where('no', '=', batchNo).executeTakeFirstOrThrow();
  return row as BatchRow;
}

/** The state a resume leads back to. */
export function wherePausedFrom(row: BatchRow): 'queued' | 'running' {
  return row.paused_from === 'running' ? 'running' : 'queued';
}
