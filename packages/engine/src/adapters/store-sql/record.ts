import { isActive } from '@sheaf/protocol/words';
import { sql } from 'kysely';
import type { BatchPulse, LeasedItem, Outcome, RecordAnswer, RecordRequest } from '../../ports/leasing.ts';
import type { Store } from '../../ports/store.ts';
import { findEchoes } from './echo.ts';
import {
  addMetrics,
  countCauses,
  keepFailedAttempts,
  keepLogs,
  keepOutputs,
  scheduleRetries,
} from './outcomes.ts';
import { configsOf, pick } from './pick.ts';
import { type BatchRow, reload, type Session, type Write } from './session.ts';
import { settleOrPause } from './settle.ts';
import type { LeaseTable } from './tables.ts';

/** The part of the Store that keeps what became of the work. */
export function recording(session: Session): Pick<Store, 'record'> {
  return {
    record: (requests, now) =>
      session.write(async (tx) => {
        const answers = new Map<RecordRequest, RecordAnswer>();
        const leases = await findLeases(tx, requests);
        for (const held of inBatchOrder(requests, leases)) {
          const lease = leases.get(held.token);
          if (lease === undefined) continue;
          const { answer, left } = await recordChunk(tx, held, lease, now);
          answers.set(held, answer);
          // A turn may have two records in one commit: the second finds the lease as the first left it.
          if (left > 0) leases.set(held.token, { ...lease, left, width: answer.width });
          else leases.delete(held.token);
        }
        for (const request of requests) {
          if (!answers.has(request)) answers.set(request, await answerWithoutLease(tx, request, now));
        }
        return requests.map((request) => answers.get(request) ?? lost(request));
      }),
  };
}

type Leases = Map<string, LeaseTable>;

async function findLeases(tx: Write, requests: readonly RecordRequest[]): Promise<Leases> {
  const tokens = requests.map((request) => request.token);
  const rows = await tx.db.selectFrom('lease').selectAll().where('token', 'in', tokens).execute();
  return new Map(rows.map((row) => [row.token, row as LeaseTable]));
}

/** Batches in one order everywhere, so that two recording transactions cannot deadlock. */
function inBatchOrder(requests: readonly RecordRequest[], leases: Leases): RecordRequest[] {
  const batchOf = (request: RecordRequest) => leases.get(request.token)?.batch_no ?? 0;
  return [...requests].sort((a, b) => batchOf(a) - batchOf(b));
}

/** The lease may have ended by the very record whose answer got lost. */
async function answerWithoutLease(tx: Write, request: RecordRequest, now: number): Promise<RecordAnswer> {
  const { batch_id, outcomes } = request;
  if (outcomes.length === 0) return lost(request);
  const row = await tx.db
    .selectFrom('batch')
    .selectAll()
    .where('id', '=', batch_id)
    .where('hidden_at', 'is', null)
    .executeTakeFirst();
  if (row === undefined) return lost(request);
  const batch = row as BatchRow;
  const echoes = await findEchoes(tx, batch.no, outcomes);
  const refused = outcomes.length - echoes;
  if (refused > 0) return { ...lost(request), refused };
  return { ...lost(request), lost: false, refused, batch: pulse(batch, batch.leased_width, now) };
}

function lost(request: RecordRequest): RecordAnswer {
  return {
    token: request.token,
    lost: true,
    accepted: 0,
    refused: request.outcomes.length,
    batch: null,
    width: 0,
    items: [],
    configs: {},
  };
}

async function recordChunk(
  tx: Write,
  request: RecordRequest,
  lease: LeaseTable,
  now: number,
): Promise<{ answer: RecordAnswer; left: number }> {
  let batch = await reload(tx, lease.batch_no);
  // The fence: cancel, pause(now) and delete raise the epoch, and no older lease records any more.
  if (lease.epoch !== batch.epoch || batch.hidden_at !== null) return { answer: lost(request), left: 0 };
  const { accepted, refused } = await writeOutcomes(tx, batch, lease, request.outcomes, now);
  const left = lease.left - accepted.length;
  batch = await count(tx, batch, accepted, now);
  batch = await settleOrPause(tx, batch, now, 'system');

  const more = isActive(batch.status) && !lease.alone ? request.more : 0;
  const room = Math.max(0, batch.concurrency - batch.leased_width);
  const extended = more > 0 ? await extend(tx, batch, { request, room, limit: more, now }) : nothing;
  const width = Math.min(request.width, left + extended.count, lease.width + room);
  await resize(tx, lease, { left: left + extended.count, width, now });
  const answer: RecordAnswer = {
    token: request.token,
    lost: false,
    accepted: accepted.length,
    refused,
    batch: pulse(batch, batch.leased_width + width - lease.width, now),
    width,
    items: extended.items,
    configs: await configsOf(tx, batch, extended.items),
  };
  return { answer, left: left + extended.count };
}

/** Writes what no other worker has written, and all that hangs on it. */
async function writeOutcomes(
  tx: Write,
  batch: BatchRow,
  lease: LeaseTable,
  outcomes: readonly Outcome[],
  now: number,
): Promise<{ accepted: Outcome[]; refused: number }> {
  if (outcomes.length === 0) return { accepted: [], refused: 0 };
  const taken = await tx.dialect.writeOutcomes(tx.db, batch.no, outcomes, now);
  const accepted = outcomes.filter((_, index) => taken[index]);
  const failed = accepted.filter((outcome) => outcome.status !== 'completed');
  await keepOutputs(tx, batch, accepted, now);
  await keepLogs(tx, batch.no, accepted, now);
  if (failed.length > 0) {
    await keepFailedAttempts(tx, batch.no, lease.worker, failed);
    await countCauses(tx, batch.no, failed, now);
    await scheduleRetries(tx, batch.no, failed);
  }
  const dropped = outcomes.filter((_, index) => !taken[index]);
  return { accepted, refused: dropped.length === 0 ? 0 : await countRefused(tx, batch.no, dropped) };
}

/** An outcome that is there already is the echo of an answer that got lost, not a late result. */
async function countRefused(tx: Write, batchNo: number, dropped: readonly Outcome[]): Promise<number> {
  const rows = await tx.db
    .selectFrom('item')
    .select(['seq', 'attempt'])
    .where('batch_no', '=', batchNo)
    .where(
      'seq',
      'in',
      dropped.map((outcome) => outcome.seq),
    )
    .execute();
  const attempts = new Map(rows.map((row) => [row.seq, row.attempt]));
  return dropped.filter((outcome) => (attempts.get(outcome.seq) ?? 0) < outcome.attempt).length;
}

/** Counters move by what was written, in the transaction that wrote it. */
async function count(
  tx: Write,
  batch: BatchRow,
  accepted: readonly Outcome[],
  now: number,
): Promise<BatchRow> {
  if (accepted.length === 0) return batch;
  const completed = accepted.filter((outcome) => outcome.status === 'completed');
  const final = accepted.filter((outcome) => outcome.status !== 'retry');
  const end = batch.canary_to;
  const inCanary = end === null ? 0 : final.filter((outcome) => outcome.seq <= end).length;
  const row = await tx.db
    .updateTable('batch')
    .set((eb) => ({
      completed_items: eb('completed_items', '+', completed.length),
      failed_items: eb('failed_items', '+', final.length - completed.length),
      done_bytes: eb(
        'done_bytes',
        '+',
        sumOf(final, (outcome) => outcome.bytes),
      ),
      canary_left: eb('canary_left', '-', inCanary),
      metrics: addMetrics(batch.metrics, completed),
      updated_at: now,
    }))
    .where('no', '=', batch.no)
    .returningAll()
    .executeTakeFirstOrThrow();
  return row as BatchRow;
}

function sumOf<T>(list: readonly T[], value: (element: T) => number): number {
  return list.reduce((sum, element) => sum + value(element), 0);
}

const nothing: { count: number; items: LeasedItem[] } = { count: 0, items: [] };

/** More items under the same token: the turn keeps its slots full without a second lease beside the first. */
async function extend(
  tx: Write,
  batch: BatchRow,
  { request, room, limit, now }: { request: RecordRequest; room: number; limit: number; now: number },
): Promise<{ count: number; items: LeasedItem[] }> {
  const width = Math.max(1, Math.min(request.width, room));
  const picked = await pick(tx, batch, { token: request.token, limit, width, idle: false, now });
  if (typeof picked === 'string') return nothing;
  return { count: picked.count, items: await tx.dialect.readItems(tx.db, batch.no, picked.ranges) };
}

async function resize(
  tx: Write,
  lease: LeaseTable,
  { left, width, now }: { left: number; width: number; now: number },
): Promise<void> {
  if (left > 0) {
    await tx.db
      .updateTable('lease')
      .set({ left, width, renewed_at: now })
      .where('token', '=', lease.token)
      .execute();
  } else {
    await tx.db.deleteFrom('range').where('token', '=', lease.token).execute();
    await tx.db.deleteFrom('lease').where('token', '=', lease.token).execute();
  }
  if (width !== lease.width) {
    await sql`update batch set leased_width = leased_width + ${width - lease.width}
      where no = ${lease.batch_no}`.execute(tx.db);
  }
}

/** A lease is never wider than what it has left, so the sum of the widths is what runs. */
function pulse(batch: BatchRow, running: number, now: number): BatchPulse {
  return {
    id: batch.id,
    space: batch.space,
    status: batch.status,
    concurrency: batch.concurrency,
    priority: batch.priority,
    total_items: batch.total_items,
    completed_items: batch.completed_items,
    failed_items: batch.failed_items,
    skipped_items: batch.skipped_items,
    cancelled_items: batch.cancelled_items,
    running_items: running,
    done_bytes: batch.done_bytes,
    ran_ms: batch.ran_ms + (batch.running_since === null ? 0 : Math.max(0, now - batch.running_since)),
    event_seq: batch.event_seq,
  };
}
