import {
  type Batch,
  type BatchStatus,
  type Item,
  type ItemStatus,
  isActive,
  type PauseReason,
  type Wire,
} from '@sheaf/protocol';

export type Tone = 'grey' | 'blue' | 'amber' | 'green' | 'red';

/** How a state is shown: never by colour alone. */
export type StateLabel = { label: string; icon: string; tone: Tone };

/** The words of every stored state of a batch, for the page and the command line alike. */
export const STATUS_LABELS = {
  draft: { label: 'Draft', icon: '✎', tone: 'grey' },
  awaiting_approval: { label: 'Needs your approval', icon: '◇', tone: 'amber' },
  queued: { label: 'Queued', icon: '○', tone: 'grey' },
  running: { label: 'Running', icon: '◐', tone: 'blue' },
  paused: { label: 'Paused', icon: '‖', tone: 'amber' },
  completed: { label: 'Completed', icon: '✓', tone: 'green' },
  partially_completed: { label: 'Completed in part', icon: '⚠', tone: 'amber' },
  failed: { label: 'Failed', icon: '✗', tone: 'red' },
  cancelled: { label: 'Cancelled', icon: '⊘', tone: 'grey' },
} as const satisfies Record<BatchStatus, StateLabel>;

export const ITEM_LABELS = {
  pending: { label: 'Queued', icon: '○', tone: 'grey' },
  running: { label: 'Running', icon: '◐', tone: 'blue' },
  completed: { label: 'Completed', icon: '✓', tone: 'green' },
  failed: { label: 'Failed', icon: '✗', tone: 'red' },
  cancelled: { label: 'Cancelled', icon: '⊘', tone: 'grey' },
  skipped: { label: 'Skipped', icon: '⤼', tone: 'grey' },
} as const satisfies Record<ItemStatus, StateLabel>;

type Shown = Pick<
  Wire<Batch>,
  | 'status'
  | 'round'
  | 'open'
  | 'pause_reason'
  | 'paused_by'
  | 'pending_items'
  | 'running_items'
  | 'completed_items'
  | 'failed_items'
  | 'next_start_at'
  | 'waiting_for'
>;

/** What a batch is at, in words: with what follows from the facts beside its stored state. */
export function batchLabel(batch: Shown): StateLabel {
  const stored = STATUS_LABELS[batch.status];
  if (waitsForItems(batch)) return { ...stored, icon: '○', label: 'Waiting for more items' };
  switch (batch.status) {
    case 'running':
      if (waitsForRate(batch)) {
        return { ...stored, icon: '○', label: `Waiting: ${batch.waiting_for}` };
      }
      return batch.round > 1 ? { ...stored, icon: '↻', label: `Retrying (round ${batch.round})` } : stored;
    case 'queued':
      return batch.waiting_for === null ? stored : { ...stored, label: `Queued: ${batch.waiting_for}` };
    case 'paused':
      if (batch.running_items > 0) {
        return { ...stored, icon: '◑', label: `Pausing… (${batch.running_items} running)` };
      }
      return { ...stored, label: pausedText(batch) };
    case 'partially_completed':
      return batch.failed_items > 0
        ? { ...stored, label: `Completed, ${batch.failed_items.toLocaleString('en-US')} failed` }
        : stored;
    default:
      return stored;
  }
}

/**
 * Whether a batch that is open for more items has done all it got: it goes on when more come, and ends
 * when it is sealed.
 */
export function waitsForItems(
  batch: Pick<Shown, 'status' | 'open' | 'pending_items' | 'running_items'>,
): boolean {
  return batch.open && isActive(batch.status) && batch.pending_items + batch.running_items === 0;
}

/** Whether nothing of a running batch runs because of its rate limit, for long enough that it is worth saying. */
export function waitsForRate(
  batch: Pick<Shown, 'status' | 'waiting_for' | 'running_items' | 'next_start_at'>,
): boolean {
  const { status, waiting_for, running_items, next_start_at } = batch;
  return status === 'running' && waiting_for !== null && running_items === 0 && next_start_at !== null;
}

function pausedText(batch: Shown): string {
  const finished = batch.completed_items + batch.failed_items;
  const failedPercent = finished === 0 ? 0 : Math.round((batch.failed_items / finished) * 100);
  const words: Record<PauseReason, string> = {
    user: batch.paused_by === null ? 'Paused' : `Paused by ${batch.paused_by}`,
    interrupted: 'Paused for review after a restart',
    canary: `Paused after the canary (${batch.completed_items}/${finished} passed)`,
    failure_budget: `Paused by failure budget (${failedPercent} % failed)`,
    cost_budget: 'Paused by cost budget',
    deadline: 'Paused at its deadline',
    disk_full: 'Paused: disk full, goes on by itself',
  };
  return batch.pause_reason === null ? 'Paused' : words[batch.pause_reason];
}

/** What an item is at, in words. */
export function itemLabel(item: Pick<Wire<Item>, 'status' | 'error' | 'retry_at' | 'attempt'>): StateLabel {
  const stored = ITEM_LABELS[item.status];
  if (item.status === 'failed' && item.error !== null) return { ...stored, label: item.error.message };
  if (item.status === 'pending' && item.retry_at !== null) {
    return { ...stored, icon: '↻', tone: 'amber', label: `Retry after attempt ${item.attempt}` };
  }
  return stored;
}
