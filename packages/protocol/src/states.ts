/**
 * Every state a batch can be stored in.
 *
 * What looks like a state in between (*uploading*, *pausing*, *retrying*) is derived from the facts
 * beside it and never stored, so nothing can hang in one.
 */
export const BATCH_STATUSES = [
  'draft',
  'awaiting_approval',
  'queued',
  'running',
  'paused',
  'completed',
  'partially_completed',
  'failed',
  'cancelled',
] as const;

export type BatchStatus = (typeof BATCH_STATUSES)[number];

/** States in which items may start. */
export const ACTIVE_STATUSES = ['queued', 'running'] as const satisfies readonly BatchStatus[];

/** States that end a batch; only a retry or an append leads out of them. */
export const FINAL_STATUSES = [
  'completed',
  'partially_completed',
  'failed',
  'cancelled',
] as const satisfies readonly BatchStatus[];

/** What a record, a removal, a cancel or a retry may settle: batches that can become final by counting. */
export const SETTLING_STATUSES = ['queued', 'running', 'paused'] as const satisfies readonly BatchStatus[];

/** Why a batch stands still, and whether a person or the system decided it. */
export const PAUSE_REASONS = [
  'user',
  'interrupted',
  'canary',
  'failure_budget',
  'cost_budget',
  'deadline',
  'disk_full',
] as const;

export type PauseReason = (typeof PAUSE_REASONS)[number];

/**
 * Every legal move of a batch, in one place.
 *
 * `docs/states.md` is drawn from this table; the CHECK constraint of the first migration and each
 * Store move are tested against it.
 */
export const BATCH_MOVES = {
  draft: ['queued', 'awaiting_approval', 'cancelled', 'completed'],
  awaiting_approval: ['queued', 'cancelled'],
  queued: ['running', 'paused', 'completed', 'partially_completed', 'failed', 'cancelled'],
  running: ['paused', 'completed', 'partially_completed', 'failed', 'cancelled'],
  // A paused batch settles too: its running items may be its last ones.
  paused: ['queued', 'running', 'completed', 'partially_completed', 'failed', 'cancelled'],
  completed: ['queued'],
  partially_completed: ['queued'],
  failed: ['queued'],
  cancelled: ['queued', 'awaiting_approval'],
} as const satisfies Record<BatchStatus, readonly BatchStatus[]>;

/** Every state of an item. `pending` is read from the range that covers it, `running` from its lease. */
export const ITEM_STATUSES = ['pending', 'running', 'completed', 'failed', 'cancelled', 'skipped'] as const;

export type ItemStatus = (typeof ITEM_STATUSES)[number];

/** The outcomes an item's row can hold; without one it is pending, running or cancelled. */
export const OUTCOME_STATUSES = ['completed', 'failed', 'skipped'] as const satisfies readonly ItemStatus[];

/** Every legal move of an item. Out of a final state only by an explicit retry, which counts an attempt. */
export const ITEM_MOVES = {
  pending: ['running', 'cancelled', 'skipped'],
  // Back to pending: a retry to come, a lease taken away, or work handed back.
  running: ['completed', 'failed', 'cancelled', 'skipped', 'pending'],
  completed: [],
  failed: ['pending'],
  cancelled: ['pending'],
  skipped: ['pending'],
} as const satisfies Record<ItemStatus, readonly ItemStatus[]>;

/**
 * What can be asked of a batch, the states it is legal in, and the states in which it is already in
 * effect (asking again answers 200 and changes nothing).
 */
export const BATCH_ACTIONS = {
  start: { from: ['draft'], already: ['queued', 'running', 'awaiting_approval'] },
  approve: { from: ['awaiting_approval'], already: ['queued', 'running'] },
  pause: { from: ['queued', 'running'], already: ['paused'] },
  resume: { from: ['paused'], already: ['queued', 'running'] },
  cancel: { from: ['draft', 'awaiting_approval', 'queued', 'running', 'paused'], already: ['cancelled'] },
  retry: {
    from: ['queued', 'running', 'paused', 'completed', 'partially_completed', 'failed', 'cancelled'],
    already: [],
  },
  append: {
    from: ['draft', 'queued', 'running', 'paused', 'completed', 'partially_completed', 'failed'],
    already: [],
  },
  remove: { from: ['draft', 'awaiting_approval', 'queued', 'running', 'paused'], already: [] },
  seal: {
    from: ['draft', 'awaiting_approval', 'queued', 'running', 'paused'],
    already: ['completed', 'partially_completed', 'failed', 'cancelled'],
  },
  prioritize: { from: ['draft', 'awaiting_approval', 'queued', 'running', 'paused'], already: [] },
  merge: {
    from: ['draft', 'paused', 'completed', 'partially_completed', 'failed', 'cancelled'],
    already: [],
  },
  delete: { from: ['draft', 'completed', 'partially_completed', 'failed', 'cancelled'], already: [] },
} as const satisfies Record<string, { from: readonly BatchStatus[]; already: readonly BatchStatus[] }>;

export type BatchAction = keyof typeof BATCH_ACTIONS;

/** The actions a client may offer for a batch in this state. */
export function allowedActions(status: BatchStatus): BatchAction[] {
  return Object.entries(BATCH_ACTIONS)
    .filter(([, rule]) => includes(rule.from, status))
    .map(([action]) => action as BatchAction);
}

/** Whether nothing of this batch can run again without a retry or an append. */
export function isFinal(status: BatchStatus): boolean {
  return includes(FINAL_STATUSES, status);
}

/** Whether items of a batch in this state may start. */
export function isActive(status: BatchStatus): boolean {
  return includes(ACTIVE_STATUSES, status);
}

/** The final state that the counters of a finished batch stand for (an empty batch is completed). */
export function finalStatus(counts: {
  total_items: number;
  completed_items: number;
  failed_items: number;
  skipped_items: number;
}): BatchStatus {
  if (counts.completed_items + counts.skipped_items === counts.total_items) return 'completed';
  if (counts.completed_items > 0) return 'partially_completed';
  return counts.failed_items > 0 ? 'failed' : 'cancelled';
}

function includes<T>(list: readonly T[], value: T): boolean {
  return list.includes(value);
}
