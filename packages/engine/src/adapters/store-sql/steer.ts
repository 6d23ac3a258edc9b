import type { Policies } from '@sheaf/protocol';
import type { Act, Store } from '../../ports/store.ts';
import { clearLeftover } from './give-back.ts';
import { changedRate } from './rate.ts';
import { toBatch } from './rows.ts';
import {
  type BatchRow,
  judge,
  lockBatch,
  type Session,
  stopClock,
  type Write,
  wherePausedFrom,
  wrongStatus,
} from './session.ts';
import { settleIfDone, settleOrPause } from './settle.ts';

type Steering = Pick<
  Store,
  'start' | 'approve' | 'reject' | 'pause' | 'resume' | 'cancel' | 'update' | 'delete'
>;

/** Ranges one transaction deletes; the sweep goes on where it ends. */
const CLEAR_LIMIT = 10_000;

/** The part of the Store that moves batches. A move touches the batch's row, whatever its size. */
export function steering(session: Session): Steering {
  const move = (act: Act, work: (tx: Write, row: BatchRow) => Promise<BatchRow>) =>
    session.write(async (tx) => toBatch(tx.db, await work(tx, await lockBatch(tx, act))));
  /** What a raised epoch left behind, in a second transaction: the move itself stays short. */
  const clear = async (no: number) =>
    session.write(async (tx) => {
      await clearLeftover(tx, no, CLEAR_LIMIT);
    });

  return {
    start: (act) =>
      move(act, async (tx, row) => (judge('start', row.status) === 'go' ? startDraft(tx, row, act) : row)),

    approve: (act) =>
      move(act, async (tx, row) => {
        if (row.status === 'paused' && row.pause_reason === 'canary') return resume(tx, row, act);
        return judge('approve', row.status) === 'go' ? queue(tx, row, act) : row;
      }),

    reject: (act) =>
      move(act, async (tx, row) => {
        // A rejected batch is a cancelled one. One that was approved meanwhile runs: rejecting it says so.
        if (row.status === 'cancelled') return row;
        if (row.status !== 'awaiting_approval') throw wrongStatus('reject', row.status);
        return cancel(tx, row, act);
      }),

    async pause(act) {
      let raised: number | null = null;
      const batch = await move(act, async (tx, row) => {
        const isNew = judge('pause', row.status) === 'go';
        const voided = act.mode === 'now' ? voidLeases(row) : {};
        if (act.mode === 'now') raised = row.no;
        if (!isNew) return act.mode === 'now' ? change(tx, row, voided) : row;
        const paused = {
          status: 'paused',
          pause_reason: act.reason,
          paused_by: act.reason === 'user' ? act.by : 'system',
          paused_at: act.now,
          paused_from: row.status === 'running' ? 'running' : 'queued',
        } as const;
        const moved = await moveTo(tx, row, { ...paused, ...stopClock(row, act.now), ...voided }, act);
        return settleIfDone(tx, moved, act.now, act.by);
      });
      if (raised !== null) await clear(raised);
      return batch;
    },

    resume: (act) =>
      move(act, async (tx, row) => {
        return judge('resume', row.status) === 'go' ? resume(tx, row, act) : row;
      }),

    async cancel(act) {
      let raised: number | null = null;
      const batch = await move(act, async (tx, row) => {
        if (judge('cancel', row.status) === 'already') return row;
        raised = row.no;
        return cancel(tx, row, act);
      });
      if (raised !== null) await clear(raised);
      return batch;
    },

    update: (act) =>
      move(act, async (tx, row) => {
        const { labels, metadata, config, rate_limit, ...plain } = act.fields;
        if (config !== undefined && row.status !== 'draft') {
          throw wrongStatus('change the config of', row.status);
        }
        const changed = {
          ...plain,
          ...(labels === undefined ? {} : { labels: JSON.stringify(labels) }),
          ...(metadata === undefined ? {} : { metadata: JSON.stringify(metadata) }),
          ...(config === undefined ? {} : { config: JSON.stringify(config) }),
          ...(rate_limit === undefined ? {} : changedRate(row, rate_limit, act.now)),
        };
        const fields = Object.keys(act.fields);
        if (fields.length === 0) return row;
        if ('priority' in changed) judge('prioritize', row.status);
        if (config !== undefined) {
          await tx.db
            .updateTable('batch_config')
            .set({ config: JSON.stringify(config) })
            .where('batch_no', '=', row.no)
            .where('config_no', '=', row.config_no)
            .execute();
        }
        return tx.emit(row, act.now, { type: 'batch_changed', fields, by: act.by }, changed);
      }),

    delete: (act) =>
      session.write(async (tx) => {
        const row = await lockBatch(tx, act);
        judge('delete', row.status);
        await hide(tx, row, act);
      }),
  };
}

async function moveTo(
  tx: Write,
  row: BatchRow,
  changes: Partial<BatchRow> & Pick<BatchRow, 'status'>,
  { now, by }: Pick<Act, 'now' | 'by'>,
): Promise<BatchRow> {
  const { status, pause_reason = null } = changes;
  return tx.emit(row, now, { type: 'batch_status', status, pause_reason, by }, changes);
}

async function change(tx: Write, row: BatchRow, changes: Partial<BatchRow>): Promise<BatchRow> {
  await tx.db.updateTable('batch').set(changes).where('no', '=', row.no).execute();
  return { ...row, ...changes };
}

/** Starts a draft, in the transaction that may have made it. */
export function startDraft(tx: Write, row: BatchRow, act: Pick<Act, 'now' | 'by'>): Promise<BatchRow> {
  if (row.requires_approval === 1) return moveTo(tx, row, { status: 'awaiting_approval' }, act);
  return queue(tx, row, act);
}

async function queue(tx: Write, row: BatchRow, act: Pick<Act, 'now' | 'by'>): Promise<BatchRow> {
  // Approved is approved: a batch that is cancelled and retried later does not ask again.
  const queued = { status: 'queued', requires_approval: 0, ...(await canaryEnd(tx, row)) } as const;
  return settleIfDone(tx, await moveTo(tx, row, queued, act), act.now, act.by);
}

/**
 * The canary ends at its last item that is to be done, found by the ranges: a batch that was cancelled
 * and retried may hold others. None of these is sparse, for nothing of the batch has run yet. A batch that is
 * no longer than its canary needs none.
 */
async function canaryEnd(tx: Write, row: BatchRow): Promise<Partial<BatchRow>> {
  const { canary } = JSON.parse(row.policies) as Policies;
  const ended = row.completed_items + row.failed_items + row.skipped_items + row.cancelled_items;
  if (canary === null || row.total_items - ended <= canary.items) return {};
  const ranges = await tx.db
    .selectFrom('range')
    .select(['from_seq', 'to_seq'])
    .where('batch_no', '=', row.no)
    .orderBy('from_seq')
    .limit(canary.items)
    .execute();
  let left = canary.items;
  for (const { from_seq, to_seq } of ranges) {
    const end = from_seq + left - 1;
    if (end <= to_seq) return { canary_to: end, canary_left: canary.items };
    left -= to_seq - from_seq + 1;
  }
  return {};
}

/** Back to where it was. The failure budget starts anew. */
async function resume(tx: Write, row: BatchRow, act: Act): Promise<BatchRow> {
  const status = wherePausedFrom(row);
  const changes = {
    status,
    pause_reason: null,
    paused_by: null,
    paused_at: null,
    running_since: status === 'running' ? act.now : null,
    budget_failed: row.failed_items,
    budget_finished: row.completed_items + row.failed_items,
    ...(row.pause_reason === 'canary' ? { canary_to: null, canary_left: 0 } : {}),
  };
  const resumed = await moveTo(tx, row, changes, act);
  tx.wake(row.no, act.now);
  // The canary may have ended while the batch stood still for another reason.
  return settleOrPause(tx, resumed, act.now, act.by);
}

/** Ends the batch with its row alone; ranges and leases are cleared behind it. */
async function cancel(tx: Write, row: BatchRow, act: Act): Promise<BatchRow> {
  const done = row.completed_items + row.failed_items + row.skipped_items;
  const changes = {
    status: 'cancelled' as const,
    pause_reason: null,
    paused_by: null,
    paused_at: null,
    completed_at: act.now,
    cancelled_items: row.total_items - done,
    open: 0 as const,
    // The canary's end stays: a retry of a cancelled batch does not skip it.
    canary_left: 0,
    ...stopClock(row, act.now),
    ...voidLeases(row),
  };
  return moveTo(tx, row, changes, act);
}

/** No lease from before this records any more; the row is locked, so that its epoch is known. */
function voidLeases(row: BatchRow): Pick<BatchRow, 'epoch' | 'leased_width' | 'leftover'> {
  return { epoch: row.epoch + 1, leased_width: 0, leftover: 1 };
}

async function hide(tx: Write, row: BatchRow, act: Act): Promise<void> {
  const hidden = { hidden_at: act.now, ...voidLeases(row) };
  await tx.emit(row, act.now, { type: 'batch_deleted', by: act.by }, hidden);
}
