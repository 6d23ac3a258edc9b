import { isFinal, type Policies, RETRY_PRIORITY, SheafError } from '@sheaf/protocol/words';
import { type RawBuilder, sql } from 'kysely';
import type { Store } from '../../ports/store.ts';
import { hasCause } from './causes.ts';
import { clearedBatch } from './give-back.ts';
import { freeRangeOf } from './intake.ts';
import { HAS_NO_OUTCOME, LAST_ATTEMPT } from './is-covered.ts';
import { toBatch } from './rows.ts';
import { type BatchRow, type Session, type Write, wrongStatus } from './session.ts';
import { settleOrPause } from './settle.ts';
import { insertSparse, tooFarApart } from './sparse.ts';
import type { RangeTable } from './tables.ts';

type RetryAct = Parameters<Store['retry']>[0];

/** Failed, skipped or cancelled items back to work, by one statement however many they are. */
export function retrying(session: Session): Pick<Store, 'retry'> {
  return {
    retry: (act) =>
      session.write(async (tx) => {
        const row = await clearedBatch(tx, act, 'retry');
        const chosen = await choose(tx, row, act);
        const taken = chosen === null ? null : await takeBack(tx, row, act, chosen);
        const after = taken?.row ?? row;
        const told = { type: 'batch_status', status: after.status, pause_reason: null, by: act.by } as const;
        const open = taken !== null && isFinal(row.status) ? await tx.emit(row, act.now, told) : after;
        const settled = await settleOrPause(tx, open, act.now, act.by);
        return { batch: await toBatch(tx.db, settled), retried: taken?.count ?? 0 };
      }),
  };
}

/** Which items of the batch to take, as conditions on failures `f` and on items `i`; null: none. */
type Chosen = {
  failed: RawBuilder<boolean> | null;
  skipped: RawBuilder<boolean> | null;
  cancelled: RawBuilder<boolean> | null;
};

async function choose(tx: Write, row: BatchRow, act: RetryAct): Promise<Chosen | null> {
  if (act.items !== undefined) {
    const seqs = await checkNamed(tx, row, act.items);
    if (seqs.length === 0) return null;
    const named = tx.dialect.isIn('i.seq', seqs);
    return {
      failed: tx.dialect.isIn('f.seq', seqs),
      skipped: row.skipped_items > 0 ? named : null,
      cancelled: row.cancelled_items > 0 ? sql<boolean>`${isCancelled(row)} and ${named}` : null,
    };
  }
  if (act.cause !== undefined) {
    return {
      failed: hasCause(row.no, act.cause),
      skipped: null,
      cancelled: null,
    };
  }
  const status = act.status ?? (row.status === 'cancelled' ? ['failed', 'cancelled'] : ['failed']);
  const wantsCancelled = status.includes('cancelled') && row.cancelled_items > 0 && row.merged_into === null;
  return {
    failed: status.includes('failed') && row.failed_items > 0 ? sql<boolean>`1 = 1` : null,
    skipped: null,
    cancelled: wantsCancelled ? isCancelled(row) : null,
  };
}

/**
 * Without an outcome, and in no range: no range was made around an item that is cancelled. A cancelled batch
 * has none at all.
 */
function isCancelled(row: BatchRow): RawBuilder<boolean> {
  if (row.status === 'cancelled') return HAS_NO_OUTCOME;
  return sql<boolean>`${HAS_NO_OUTCOME} and not exists (
    select 1 from range r where r.batch_no = i.batch_no and r.from_seq <= i.seq and r.to_seq >= i.seq)`;
}

/**
 * Each named item must be failed, skipped or cancelled. One that waits for its retry falls due now;
 * one that is pending, running or completed refuses the whole call.
 */
async function checkNamed(tx: Write, row: BatchRow, seqs: readonly number[]): Promise<number[]> {
  const items = await tx.db
    .selectFrom('item_state')
    .select(['seq', 'status', 'attempt'])
    .where('batch_no', '=', row.no)
    .where(tx.dialect.isIn('seq', [...new Set(seqs)]))
    .execute();
  const known = new Map(items.map((item) => [item.seq, item]));
  const missing = seqs.find((seq) => !known.has(seq));
  if (missing !== undefined) throw new SheafError('not_found', `Item not found: ${row.id}/${missing}`);
  const chosen: number[] = [];
  for (const item of items) {
    if (item.status === 'failed' || item.status === 'skipped') {
      chosen.push(item.seq);
      continue;
    }
    if (item.status === 'completed') throw wrongItem(row, item.seq, 'is completed');
    const range = await freeRangeOf(tx, row.no, item.seq);
    if (range !== undefined && range.attempt > item.attempt) {
      if (range.ready_at === 0) throw wrongItem(row, item.seq, 'waits already');
      await fallDue(tx, range, item.seq);
      continue;
    }
    if (await isHeld(tx, row.no, item)) throw wrongItem(row, item.seq, 'is running');
    if (row.merged_into !== null) throw wrongItem(row, item.seq, `was moved to ${row.merged_into}`);
    chosen.push(item.seq);
  }
  return chosen;
}

/** Of neighbours that wait together only the named one is due. */
async function fallDue(tx: Write, { id, ...range }: RangeTable & { id: number }, seq: number): Promise<void> {
  const parts = [
    { ...range, to_seq: seq - 1 },
    { ...range, from_seq: seq, to_seq: seq, ready_at: 0 },
    { ...range, from_seq: seq + 1 },
  ].filter((part) => part.from_seq <= part.to_seq);
  await tx.db.deleteFrom('range').where('id', '=', id).execute();
  await tx.dialect.insertMany(tx.db, 'range', parts);
}

function wrongItem(row: BatchRow, seq: number, what: string): SheafError {
  return wrongStatus(
    'retry',
    row.status,
    `The item ${row.id}/${seq} ${what}; only failed and cancelled items can be retried.`,
  );
}

async function isHeld(tx: Write, batchNo: number, item: { seq: number; attempt: number }): Promise<boolean> {
  const { rows } = await sql`select 1 from lease l join range r on r.token = l.token
    where l.batch_no = ${batchNo} and r.from_seq <= ${item.seq} and r.to_seq >= ${item.seq}
      and r.attempt > ${item.attempt} limit 1`.execute(tx.db);
  return rows.length > 0;
}

/** Null when there was nothing to take. */
async function takeBack(
  tx: Write,
  row: BatchRow,
  act: RetryAct,
  chosen: Chosen,
): Promise<{ count: number; row: BatchRow } | null> {
  const configNo = act.config === undefined ? row.config_no : await addConfig(tx, row, act.config);
  const policies = JSON.parse(row.policies) as Policies;
  const plan = { configNo, maxAttempts: policies.max_attempts };
  // Cancelled ones are told by having no outcome: they come before those that lose theirs.
  const cancelled = chosen.cancelled === null ? none : await takeCancelled(tx, row, plan, chosen.cancelled);
  const failed = chosen.failed === null ? none : await takeFailed(tx, row, plan, chosen.failed);
  const skipped = chosen.skipped === null ? none : await takeSkipped(tx, row, plan, chosen.skipped);
  const taken = failed.count + skipped.count + cancelled.count;
  if (taken === 0) return null;
  const round = row.round + (isFinal(row.status) ? 1 : 0);
  const failedItems = row.failed_items - failed.count;
  const budgetFailed = Math.min(row.budget_failed, failedItems);
  const status = row.requires_approval === 1 ? ('awaiting_approval' as const) : ('queued' as const);
  await tx.db
    .updateTable('batch')
    .set((eb) => ({
      failed_items: failedItems,
      skipped_items: eb('skipped_items', '-', skipped.count),
      cancelled_items: eb('cancelled_items', '-', cancelled.count),
      done_bytes: eb('done_bytes', '-', failed.bytes + skipped.bytes),
      canary_left: eb(
        'canary_left',
        '+',
        row.canary_to === null ? 0 : failed.in_canary + skipped.in_canary + cancelled.in_canary,
      ),
      budget_failed: budgetFailed,
      // What was forgiven and failed, and is taken back now, is no longer finished either.
      budget_finished: eb('budget_finished', '-', row.budget_failed - budgetFailed),
      round,
      updated_at: act.now,
      ...(isFinal(row.status)
        ? {
            status,
            completed_at: null,
            budget_failed: failedItems,
            budget_finished: row.completed_items + failedItems,
          }
        : {}),
    }))
    .where('no', '=', row.no)
    .execute();
  const retried = { type: 'items_retried', count: taken, round, by: act.by } as const;
  return { count: taken, row: await tx.emit(row, act.now, retried) };
}

async function addConfig(tx: Write, row: BatchRow, config: Record<string, unknown>): Promise<number> {
  const { rows } = await sql<{ config_no: number }>`insert into batch_config (batch_no, config_no, config)
    select ${row.no}, max(config_no) + 1, ${JSON.stringify(config)} from batch_config where batch_no = ${row.no}
    returning config_no`.execute(tx.db);
  return Number(rows[0]?.config_no);
}

type Taken = { count: number; bytes: number; in_canary: number };
type Plan = { configNo: number; maxAttempts: number };

const none: Taken = { count: 0, bytes: 0, in_canary: 0 };

type FailedOfCause = { cause: string; count: number; in_canary: number; first: number; last: number };

/** They are not failed any more, and ranges hold them. What they were tried before stays as it is. */
async function takeFailed(tx: Write, row: BatchRow, plan: Plan, which: RawBuilder<boolean>): Promise<Taken> {
  const chosen = sql`failure as f where f.batch_no = ${row.no} and ${which}`;
  const { rows: causes } = await sql<FailedOfCause>`
    select f.cause, count(*) as count, ${inCanary(row, 'f')} as in_canary, min(f.attempt) as first, max(f.attempt) as last
    from ${chosen} group by f.cause`.execute(tx.db);
  const count = sumOf(causes, 'count');
  if (count === 0) return none;
  const bytes = row.done_bytes === 0 ? 0 : await sumBytes(tx, chosen);
  const seqs = sql`select f.seq, f.attempt from ${chosen}`;
  const [attempt = 0, ...others] = new Set(causes.flatMap(({ first, last }) => [first, last]));
  // With nothing else left to be done in the batch, nothing can come to lie between them.
  const isSparse = others.length === 0 && row.completed_items + count === row.total_items;
  const rest = isSparse ? await insertSparseRanges(tx, row, plan, { chosen: seqs, count, attempt }) : seqs;
  if (rest !== null) await insertRanges(tx, row, plan, rest);
  await sql`delete from ${chosen}`.execute(tx.db);
  for (const { cause, count } of causes) {
    await sql`update cause set count = count - ${count} where batch_no = ${row.no} and cause = ${cause}`.execute(
      tx.db,
    );
  }
  await sql`delete from cause where batch_no = ${row.no} and count <= 0`.execute(tx.db);
  return { count, bytes, in_canary: sumOf(causes, 'in_canary') };
}

/** Answers what is left of the chosen items, to be held by ranges of neighbours; null: nothing. */
async function insertSparseRanges(
  tx: Write,
  row: BatchRow,
  { configNo, maxAttempts }: Plan,
  { chosen, count, attempt }: { chosen: RawBuilder<unknown>; count: number; attempt: number },
): Promise<RawBuilder<unknown> | null> {
  const range = { attempt: attempt + 1, last_attempt: attempt + maxAttempts, config_no: configNo };
  const left = await insertSparse(tx, row, range, { chosen, count });
  return left === 0 ? null : tooFarApart(chosen);
}

async function sumBytes(tx: Write, chosen: RawBuilder<unknown>): Promise<number> {
  const { rows } = await sql<{ bytes: number | null }>`select sum(i.bytes) as bytes
    from (select f.batch_no, f.seq from ${chosen}) f join item i on i.batch_no = f.batch_no and i.seq = f.seq`.execute(
    tx.db,
  );
  return Number(rows[0]?.bytes ?? 0);
}

async function takeSkipped(tx: Write, row: BatchRow, plan: Plan, which: RawBuilder<boolean>): Promise<Taken> {
  const chosen = sql`item i where i.batch_no = ${row.no} and i.status = 'skipped' and ${which}`;
  const { rows } = await sql<Taken>`select count(*) as count, coalesce(sum(i.bytes), 0) as bytes,
    ${inCanary(row, 'i')} as in_canary from ${chosen}`.execute(tx.db);
  await insertRanges(tx, row, plan, sql`select i.seq, i.attempt from ${chosen}`);
  await sql`update item as i set status = null, finished_at = null
    where i.batch_no = ${row.no} and i.status = 'skipped' and ${which}`.execute(tx.db);
  return { ...none, ...rows[0] };
}

async function takeCancelled(
  tx: Write,
  row: BatchRow,
  plan: Plan,
  which: RawBuilder<boolean>,
): Promise<Taken> {
  const chosen = sql`item i where i.batch_no = ${row.no} and ${which}`;
  const { rows } = await sql<
    Omit<Taken, 'bytes'>
  >`select count(*) as count, ${inCanary(row, 'i')} as in_canary
    from ${chosen}`.execute(tx.db);
  await insertRanges(tx, row, plan, sql`select i.seq, ${LAST_ATTEMPT} as attempt from ${chosen}`);
  return { ...none, ...rows[0] };
}

function inCanary({ canary_to }: BatchRow, table: 'f' | 'i'): RawBuilder<number> {
  const seq = sql.ref(`${table}.seq`);
  return sql<number>`coalesce(sum(case when ${seq} <= ${canary_to ?? 0} then 1 else 0 end), 0)`;
}

/** One range per run of neighbours with the same number of attempts behind them. */
async function insertRanges(
  tx: Write,
  row: BatchRow,
  { configNo, maxAttempts }: Plan,
  chosen: RawBuilder<unknown>,
): Promise<void> {
  await sql`insert into range (batch_no, from_seq, to_seq, attempt, last_attempt, crashes, priority, ready_at, token, config_no)
    select ${row.no}, min(seq), max(seq), attempt + 1, attempt + ${maxAttempts}, 0, ${RETRY_PRIORITY}, 0, null, ${configNo}
    from (select seq, attempt, seq - row_number() over (partition by attempt order by seq) as island
      from (${chosen}) chosen) islands
    group by attempt, island`.execute(tx.db);
}

function sumOf<Key extends string>(rows: readonly Record<Key, number>[], key: Key): number {
  return rows.reduce((sum, row) => sum + Number(row[key]), 0);
}
