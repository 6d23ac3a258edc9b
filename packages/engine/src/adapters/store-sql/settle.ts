import type { BatchStatus, FailureBudget, PauseReason, Policies } from '@sheaf/protocol';
import { sql } from 'kysely';
import { type BatchRow, stopClock, type Write } from './session.ts';

/** The least number of finished items before a share of failures means anything. */
const BUDGET_WARM_UP = 50;

type Settled = { no: number; id: string; space: string; status: BatchStatus };

/**
 * Ends a batch whose counters say that nothing is left; the last statement of every transaction that
 * may finish one. It reads only the batch's own locked row: two last records on two machines would
 * not see each other's items, and the batch would run for ever. Answers the row if it did end.
 */
export async function settle(tx: Write, batchNo: number, now: number, by: string): Promise<BatchRow | null> {
  const { rows } = await sql<Settled>`
    update batch set
      status = case
        when completed_items + skipped_items = total_items then 'completed'
        when completed_items > 0 then 'partially_completed'
        when failed_items > 0 then 'failed'
        else 'cancelled' end,
      pause_reason = null, paused_by = null, paused_at = null, completed_at = ${now}, updated_at = ${now},
      ran_ms = ran_ms + case when running_since is null or running_since > ${now} then 0 else ${now} - running_since end,
      running_since = null, canary_to = null, canary_left = 0
    where no = ${batchNo} and status in ('queued', 'running', 'paused') and open = 0
      and completed_items + failed_items + skipped_items + cancelled_items = total_items
    returning no, id, space, status`.execute(tx.db);
  const [row] = rows;
  if (row === undefined) return null;
  return tx.emit(row, now, { type: 'batch_status', status: row.status, pause_reason: null, by });
}

/**
 * What a finished item may bring about: the end of the batch, of its canary, or of its failure
 * budget. Settling beats pausing. Answers the row as it stands afterwards.
 *
 * @param before As it is now, and locked.
 */
export async function settleOrPause(tx: Write, before: BatchRow, now: number, by: string): Promise<BatchRow> {
  const row = await settleIfDone(tx, before, now, by);
  if (row.status !== 'queued' && row.status !== 'running') return row;
  if (row.canary_to !== null && row.canary_left === 0) return endCanary(tx, row, now, by);
  if (row.failed_items > row.budget_failed) {
    const { failure_budget } = JSON.parse(row.policies) as Policies;
    if (failure_budget !== null && isUsedUp(failure_budget, row)) {
      return (await pauseFor(tx, row, 'failure_budget', now)) ?? row;
    }
  }
  return row;
}

/** Like `settle`, for a caller that holds the row as it is. Answers the row as it stands afterwards. */
export async function settleIfDone(tx: Write, row: BatchRow, now: number, by: string): Promise<BatchRow> {
  return (isDone(row) ? await settle(tx, row.no, now, by) : null) ?? row;
}

/** What the update of `settle` asks for as well. */
function isDone(row: BatchRow): boolean {
  const ended = row.completed_items + row.failed_items + row.skipped_items + row.cancelled_items;
  return ended === row.total_items && row.open === 0;
}

/** Counted from the last resume or retry, so that a resumed batch does not stop again at once. */
function isUsedUp(budget: FailureBudget, row: BatchRow): boolean {
  const failed = row.failed_items - row.budget_failed;
  const finished = row.completed_items + row.failed_items - row.budget_finished;
  if (budget.count !== undefined) return finished >= (budget.min_items ?? 1) && failed >= budget.count;
  const percent = budget.percent ?? 100;
  return finished >= (budget.min_items ?? BUDGET_WARM_UP) && failed * 100 >= percent * finished;
}

async function endCanary(tx: Write, row: BatchRow, now: number, by: string): Promise<BatchRow> {
  const { canary } = JSON.parse(row.policies) as Policies;
  if (canary?.min_pass_percent !== undefined && row.canary_to !== null) {
    const { rows } = await sql<{ passed: number; total: number }>`
      select coalesce(sum(case when status = 'completed' then 1 else 0 end), 0) as passed, count(*) as total
      from item_state where batch_no = ${row.no} and seq <= ${row.canary_to}`.execute(tx.db);
    const { passed, total } = rows[0] ?? { passed: 0, total: 0 };
    if (Number(passed) * 100 >= canary.min_pass_percent * Number(total)) {
      return tx.emit(row, now, { type: 'batch_changed', fields: ['canary'], by }, { canary_to: null });
    }
  }
  return (await pauseFor(tx, row, 'canary', now)) ?? row;
}

/** The system's own pause: only from an active state, never over a user's. Answers the row if it paused. */
export async function pauseFor(
  tx: Write,
  row: BatchRow,
  reason: PauseReason,
  now: number,
): Promise<BatchRow | null> {
  const result = await tx.db
    .updateTable('batch')
    .set({
      status: 'paused',
      pause_reason: reason,
      paused_by: 'system',
      paused_at: now,
      paused_from: sql<'queued' | 'running'>`status`,
      ...stopClock(row, now),
    })
    .where('no', '=', row.no)
    .where('status', 'in', ['queued', 'running'])
    .executeTakeFirst();
  if (result.numUpdatedRows === 0n) return null;
  return tx.emit(row, now, { type: 'batch_status', status: 'paused', pause_reason: reason, by: 'system' });
}
