import { isActive } from '@sheaf/protocol/words';
import { sql } from 'kysely';
import type { RemovedBlob } from '../../ports/files.ts';
import type { BatchPulse, Outcome, RecordAnswer, RecordRequest } from '../../ports/leasing.ts';
import type { Store } from '../../ports/store.ts';
import { revive } from './doomed.ts';
import { findEchoes } from './echo.ts';
import { addMetrics, countCauses, keepLogs, keepOutputs, outputsOf, scheduleRetries } from './outcomes.ts';
import { configsOf, nextReady, pick } from './pick.ts';
import { countStarts, limitOf, startsLeft } from './rate.ts';
import { type BatchRow, lockRow, type Session, type Write } from './session.ts';
import { settleOrPause } from './settle.ts';
import type { Stamped } from './stamp.ts';
import type { LeaseTable } from './tables.ts';

/** The part of the Store that keeps what became of the work. */
export function recording(session: Session): Pick<Store, 'record'> {
  return {
    async record(requests, now, { confirmed = [] } = {}) {
      if (requests.length === 0) return [];
      const dropped = new Set<RecordRequest>();
      for (;;) {
        try {
          return await session.write((tx) => recordAll(tx, requests, { dropped, confirmed, now }));
        } catch (error) {
          // Nothing of it was kept. The others are recorded without the one whose lease is void.
          if (!(error instanceof FenceLost)) throw error;
          dropped.add(error.request);
        }
      }
    },
  };
}

/** A lease became void between the writing of its outcomes and the locking of its batch. */
class FenceLost extends Error {
  readonly request: RecordRequest;

  constructor(request: RecordRequest) {
    super('The lease is void.');
    this.request = request;
  }
}

/** A lease, locked, and what its outcomes need to know of the batch. */
type Held = LeaseTable & { space: string; canary_to: number | null };
type Leases = Map<string, Held>;

/**
 * First the items of all chunks, which nobody else writes; then, chunk by chunk, the batches, whose rows
 * are locked from there to the commit: two workers of one batch wait for each other only that long.
 */
async function recordAll(
  tx: Write,
  requests: readonly RecordRequest[],
  {
    dropped,
    confirmed,
    now,
  }: { dropped: ReadonlySet<RecordRequest>; confirmed: readonly RemovedBlob[]; now: number },
): Promise<RecordAnswer[]> {
  const leases = await findLeases(tx, requests);
  const fenced = requests.filter((request) => leases.has(request.token) && !dropped.has(request));
  const batchOf = ({ token }: RecordRequest) => leases.get(token)?.batch_no ?? 0;
  const inOrder = fenced.sort((a, b) => batchOf(a) - batchOf(b));
  const written = new Map<RecordRequest, Written>();
  for (const request of inOrder) {
    const lease = leases.get(request.token);
    if (lease !== undefined) written.set(request, await writeOutcomes(tx, lease, request.outcomes, now));
  }
  await revive(
    tx,
    [...written].flatMap(([{ token }, { accepted }]) =>
      outputsOf(accepted).map(({ sha256 }) => ({ space: leases.get(token)?.space ?? '', sha256 })),
    ),
    confirmed,
  );
  const answers = new Map<RecordRequest, RecordAnswer>();
  for (const [request, outcomes] of written) {
    const lease = leases.get(request.token);
    // A turn may have two records in one commit: the second finds the lease as the first left it.
    if (lease === undefined) continue;
    const { answer, left } = await recordChunk(tx, request, { lease, ...outcomes }, now);
    answers.set(request, answer);
    if (left > 0) leases.set(request.token, { ...lease, left, width: answer.width });
    else leases.delete(request.token);
  }
  for (const request of requests) {
    if (!answers.has(request)) answers.set(request, await answerWithoutLease(tx, request, now));
  }
  return requests.map((request) => answers.get(request) ?? lost(request));
}

/** The leases that are not void. */
async function findLeases(tx: Write, requests: readonly RecordRequest[]): Promise<Leases> {
  const tokens = [...new Set(requests.map((request) => request.token))];
  const { rows } =
    await sql<Held>`select l.*, b.space, b.canary_to from lease l join batch b on b.no = l.batch_no
    where ${tx.dialect.isIn('l.token', tokens)} and b.epoch = l.epoch and b.hidden_at is null
    order by l.token ${tx.dialect.forUpdateOf('l')}`.execute(tx.db);
  return new Map(rows.map((row) => [row.token, row]));
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
    next_ready_at: null,
  };
}

type Written = { accepted: Outcome[]; refused: number };

async function recordChunk(
  tx: Write,
  request: RecordRequest,
  { lease, accepted, refused }: Written & { lease: Held },
  now: number,
): Promise<{ answer: RecordAnswer; left: number }> {
  let batch = await count(tx, lease, accepted, now);
  // The fence: cancel, pause(now) and delete raise the epoch, and no older lease records any more.
  if (batch === undefined) throw new FenceLost(request);
  const failed = accepted.filter((outcome) => outcome.status !== 'completed');
  if (failed.length > 0) {
    await countCauses(tx, batch.no, failed, now);
    await scheduleRetries(tx, batch.no, failed);
  }
  batch = await settleOrPause(tx, batch, now, 'system');

  const left = lease.left - accepted.length;
  const room = Math.max(0, batch.concurrency - batch.leased_width);
  const slots = Math.max(0, Math.min(request.width, lease.width + room) - left);
  const starts = startsLeft(batch, { slots, now });
  const wanted = isActive(batch.status) && !lease.alone ? request.more : 0;
  const more = Math.min(wanted, starts.items);
  const extended = more > 0 ? await extend(tx, batch, { request, room, limit: more, now }) : nothing;
  const width = Math.min(request.width, left + extended.count, lease.width + room);
  const [items] = await Promise.all([
    tx.dialect.readItems(tx.db, batch.no, extended.ranges),
    resize(tx, lease, { left: left + extended.count, width, now }),
    countStarts(tx, batch, extended.count, now),
  ]);
  const answer: RecordAnswer = {
    token: request.token,
    lost: false,
    accepted: accepted.length,
    refused,
    batch: pulse(batch, batch.leased_width + width - lease.width, now),
    width,
    items,
    configs: await configsOf(tx, batch, items),
    next_ready_at: wanted > 0 && extended.count === 0 ? await nextStart(tx, batch, starts, now) : null,
  };
  return { answer, left: left + extended.count };
}

/** When there is more to lease of a batch that has nothing now; null when nobody can say. */
async function nextStart(
  tx: Write,
  batch: BatchRow,
  starts: { items: number; next_at: number },
  now: number,
): Promise<number | null> {
  if (starts.items > 0) return nextReady(tx.db, batch.no);
  return starts.next_at > now ? starts.next_at : null;
}

/** Writes what no other worker has written, and what hangs on the items alone. */
async function writeOutcomes(
  tx: Write,
  lease: Held,
  outcomes: readonly Outcome[],
  now: number,
): Promise<Written> {
  if (outcomes.length === 0) return { accepted: [], refused: 0 };
  const batchNo = lease.batch_no;
  const list = outcomes.map(withCause);
  const taken = await tx.dialect.writeOutcomes(tx.db, lease, list, now);
  const accepted = list.filter((_, index) => taken[index]);
  await Promise.all([keepOutputs(tx, lease, accepted, now), keepLogs(tx, batchNo, accepted, now)]);
  if (accepted.length === list.length) return { accepted, refused: 0 };
  const dropped = list.filter((_, index) => !taken[index]);
  return { accepted, refused: await countRefused(tx, batchNo, dropped) };
}

/** A failed item without a cause would be found by nobody who looks for failures. */
function withCause(outcome: Outcome): Outcome {
  if (outcome.status !== 'failed' || outcome.cause !== null) return outcome;
  return { ...outcome, cause: outcome.error?.code ?? 'failed' };
}

/** An outcome that is there already is the echo of an answer that got lost, not a late result. */
async function countRefused(tx: Write, batchNo: number, dropped: readonly Outcome[]): Promise<number> {
  const rows = await tx.db
    .selectFrom('item_state')
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

/**
 * Counters move by what was written, in the transaction that wrote it. Locks the batch's row; undefined
 * when it is not the lease's any more.
 */
async function count(
  tx: Write,
  lease: Held,
  accepted: readonly Outcome[],
  now: number,
): Promise<BatchRow | undefined> {
  const completed = accepted.filter((outcome) => outcome.status === 'completed');
  const hasMetrics = completed.some((outcome) => outcome.metrics !== null);
  if (accepted.length > 0 && !hasMetrics) {
    const row = await addCounts(tx, lease, accepted, lease.canary_to, now);
    if (row !== undefined) return row;
  }
  const row = await lockRow(tx, lease.batch_no);
  if (row === undefined || row.epoch !== lease.epoch || row.hidden_at !== null) return undefined;
  if (accepted.length === 0) return row;
  // Sums of sums cannot be added in SQL; the row is ours until the commit.
  if (hasMetrics) {
    const metrics = addMetrics(row.metrics, completed);
    await tx.db.updateTable('batch').set({ metrics }).where('no', '=', row.no).execute();
  }
  return addCounts(tx, lease, accepted, row.canary_to, now);
}

/** In one statement, unless the batch is another one's or its canary ends elsewhere by now. */
async function addCounts(
  tx: Write,
  lease: Held,
  accepted: readonly Outcome[],
  canaryTo: number | null,
  now: number,
): Promise<BatchRow | undefined> {
  const final = accepted.filter((outcome) => outcome.status !== 'retry');
  const completed = final.filter((outcome) => outcome.status === 'completed').length;
  const inCanary = canaryTo === null ? 0 : final.filter((outcome) => outcome.seq <= canaryTo).length;
  const { rows } = await sql<BatchRow>`update batch set completed_items = completed_items + ${completed},
      failed_items = failed_items + ${final.length - completed},
      done_bytes = done_bytes + ${sumOf(final, (outcome) => outcome.bytes)},
      canary_left = canary_left - ${inCanary}, updated_at = ${now}
    where no = ${lease.batch_no} and epoch = ${lease.epoch} and hidden_at is null
      and coalesce(canary_to, -1) = ${canaryTo ?? -1}
    returning *`.execute(tx.db);
  return rows[0];
}

function sumOf<T>(list: readonly T[], value: (element: T) => number): number {
  return list.reduce((sum, element) => sum + value(element), 0);
}

const nothing: Stamped = { count: 0, ranges: [] };

/** More items under the same token: the turn keeps its slots full without a second lease beside the first. */
async function extend(
  tx: Write,
  batch: BatchRow,
  { request, room, limit, now }: { request: RecordRequest; room: number; limit: number; now: number },
): Promise<Stamped> {
  const width = Math.max(1, Math.min(request.width, room));
  const picked = await pick(tx, batch, { token: request.token, limit, width, idle: false, now });
  return typeof picked === 'string' ? nothing : picked;
}

async function resize(
  tx: Write,
  lease: LeaseTable,
  { left, width, now }: { left: number; width: number; now: number },
): Promise<void> {
  const kept =
    left > 0
      ? [
          tx.db
            .updateTable('lease')
            .set({ left, width, renewed_at: now })
            .where('token', '=', lease.token)
            .execute(),
        ]
      : [
          tx.db.deleteFrom('range').where('token', '=', lease.token).execute(),
          tx.db.deleteFrom('lease').where('token', '=', lease.token).execute(),
        ];
  const change = width - lease.width;
  const widened =
    change === 0
      ? null
      : sql`update batch set leased_width = leased_width + ${change} where no = ${lease.batch_no}`.execute(
          tx.db,
        );
  await Promise.all([...kept, widened]);
}

/** A lease is never wider than what it has left, so the sum of the widths is what runs. */
function pulse(batch: BatchRow, running: number, now: number): BatchPulse {
  return {
    id: batch.id,
    space: batch.space,
    status: batch.status,
    concurrency: batch.concurrency,
    priority: batch.priority,
    rate_limit: limitOf(batch),
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
