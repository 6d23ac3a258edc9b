import type { Policies } from '@sheaf/protocol';
import type { Act, Store } from '../../ports/store.ts';
import { clearLeftover } from './give-back.ts';
import { toBatch } from './rows.ts';
import {
  type BatchRow,
  judge,
  lockBatch,
  reload,
  type Session,
  stopClock,
  type Write,
  wherePausedFrom,
  wrongStatus,
} from './session.ts';
import { settle, settleOrPause } from './settle.ts';

type Steering = Pick<
  Store,
  'start' | 'approve' | 'reject' | 'pause' | 'resume' | 'cancel' | 'update' | 'delete'
>;

/** Ranges one transaction deletes; the sweep goes on where it ends. */
const CLEAR_LIMIT = 10_000;

/** The part of the Store that moves batches. A move touches the batch's row, whatever its size. */
export function steering(session: Session): Steering {
  const move = (act: Act, work: (tx: Write, row: BatchRow) => Promise<void>) =>
    session.write(async (tx) => {
      const row = await lockBatch(tx, act);
      await work(tx, row);
      return toBatch(tx.db, await reload(tx, row.no));
    });
  /** What a raised epoch left behind, in a second transaction: the move itself stays short. */
  const clear = async (no: number) =>
    session.write(async (tx) => {
      await clearLeftover(tx, no, CLEAR_LIMIT);
    });

  return {
    start: (act) =>
      move(act, async (tx, row) => {
        if (judge('start', row.status) === 'already') return;
        if (row.requires_approval === 1) await moveTo(tx, row, { status: 'awaiting_approval' }, act);
        else await queue(tx, row, act);
      }),

    approve: (act) =>
      move(act, async (tx, row) => {
        if (row.status === 'paused' && row.pause_reason === 'canary') await resume(tx, row, act);
        else if (judge('approve', row.status) === 'go') await queue(tx, row, act);
      }),

    reject: (act) =>
      move(act, async (tx, row) => {
        // A rejected batch is a cancelled one. One that was approved meanwhile runs: rejecting it says so.
        if (row.status === 'cancelled') return;
        if (row.status !== 'awaiting_approval') throw wrongStatus('reject', row.status);
        await cancel(tx, row, act);
      }),

    async pause(act) {
      let raised: number | null = null;
      const batch = await move(act, async (tx, row) => {
        const isNew = judge('pause', row.status) === 'go';
        if (isNew) {
          const by = act.reason === 'user' ? act.by : 'system';
          const paused = {
            status: 'paused',
            pause_reason: act.reason,
            paused_by: by,
            paused_at: act.now,
            paused_from: row.status === 'running' ? 'running' : 'queued',
          } as const;
          await moveTo(tx, row, { ...paused, ...stopClock(row, act.now) }, act);
        }
        if (act.mode === 'now') {
          raised = row.no;
          await raiseEpoch(tx, row.no);
        }
        await settle(tx, row.no, act.now, act.by);
      });
      if (raised !== null) await clear(raised);
      return batch;
    },

    resume: (act) =>
      move(act, async (tx, row) => {
        if (judge('resume', row.status) === 'go') await resume(tx, row, act);
      }),

    async cancel(act) {
      let raised: number | null = null;
      const batch = await move(act, async (tx, row) => {
        if (judge('cancel', row.status) === 'already') return;
        raised = row.no;
        await cancel(tx, row, act);
      });
      if (raised !== null) await clear(raised);
      return batch;
    },

    update: (act) =>
      move(act, async (tx, row) => {
        const { labels, metadata, config, ...plain } = act.fields;
        if (config !== undefined && row.status !== 'draft') {
          throw wrongStatus('change the config of', row.status);
        }
        const changed = {
          ...plain,
          ...(labels === undefined ? {} : { labels: JSON.stringify(labels) }),
          ...(metadata === undefined ? {} : { metadata: JSON.stringify(metadata) }),
          ...(config === undefined ? {} : { config: JSON.stringify(config) }),
        };
        const fields = Object.keys(changed);
        if (fields.length === 0) return;
        if ('priority' in changed) judge('prioritize', row.status);
        await tx.db
          .updateTable('batch')
          .set({ ...changed, updated_at: act.now })
          .where('no', '=', row.no)
          .execute();
        if (config !== undefined) {
          await tx.db
            .updateTable('batch_config')
            .set({ config: JSON.stringify(config) })
            .where('batch_no', '=', row.no)
            .where('config_no', '=', row.config_no)
            .execute();
        }
        await tx.emit(row, act.now, { type: 'batch_changed', fields, by: act.by });
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
  changes: Partial<BatchRow> & Record<string, unknown> & Pick<BatchRow, 'status'>,
  act: Act,
): Promise<void> {
  await tx.db
    .updateTable('batch')
    .set({ ...(changes as Partial<BatchRow>), updated_at: act.now })
    .where('no', '=', row.no)
    .where('status', '=', row.status)
    .execute();
  const pauseReason = changes.pause_reason ?? null;
  await tx.emit(row, act.now, {
    type: 'batch_status',
    status: changes.status,
    pause_reason: pauseReason,
    by: act.by,
  });
}

async function queue(tx: Write, row: BatchRow, act: Act): Promise<void> {
  // Approved is approved: a batch that is cancelled and retried later does not ask again.
  await moveTo(tx, row, { status: 'queued', requires_approval: 0, ...(await canaryEnd(tx, row)) }, act);
  await settle(tx, row.no, act.now, act.by);
}

/**
 * The canary ends at its last item that is to be done, found by the ranges: a batch that was cancelled
 * and retried may hold others. A batch that is no longer than its canary needs none.
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
async function resume(tx: Write, row: BatchRow, act: Act): Promise<void> {
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
  await moveTo(tx, row, changes, act);
  tx.wake(row.no, act.now);
  // The canary may have ended while the batch stood still for another reason.
  await settleOrPause(tx, await reload(tx, row.no), act.now, act.by);
}

/** Ends the batch with its row alone; ranges and leases are cleared behind it. */
async function cancel(tx: Write, row: BatchRow, act: Act): Promise<void> {
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
  };
  await moveTo(tx, row, changes, act);
  await raiseEpoch(tx, row.no);
}

async function raiseEpoch(tx: Write, no: number): Promise<void> {
  await tx.db
    .updateTable('batch')
    .set((eb) => ({ epoch: eb('epoch', '+', 1), leased_width: 0, leftover: 1 }))
    .where('no', '=', no)
    .execute();
}

async function hide(tx: Write, row: BatchRow, act: Act): Promise<void> {
  await tx.emit(row, act.now, { type: 'batch_deleted', by: act.by });
  await tx.db
    .updateTable('batch')
    .set((eb) => ({ hidden_at: act.now, epoch: eb('epoch', '+', 1), leased_width: 0, leftover: 1 }))
    .where('no', '=', row.no)
    .execute();
}
