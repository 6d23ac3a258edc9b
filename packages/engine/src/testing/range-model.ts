import {
  BATCH_ACTIONS,
  type BatchAction,
  type BatchStatus,
  DEFAULT_PRIORITY,
  finalStatus,
  type ItemStatus,
  isActive,
  isFinal,
  type PauseReason,
  type Policies,
  RETRY_PRIORITY,
} from '@sheaf/protocol';
import { addStarts, type Starts, startsAllowed } from '../domain/rate-limit.ts';
import { disagree } from './disagreement.ts';

/** What is still to be done for an item. */
export type ModelWork = {
  attempt: number;
  last_attempt: number;
  /** How often the item lost its host. */
  crashes: number;
  priority: number;
  ready_at: number;
  /** The lease that holds it; null while it waits. */
  token: string | null;
};

export type ModelItem = {
  seq: number;
  outcome: 'completed' | 'failed' | null;
  /** Attempts that are over. */
  attempt: number;
  /** When the attempts that were recorded started and how long they took: what tells an echo from a late result. */
  recorded: Set<string>;
  /** Whether it failed because it kept losing its host. */
  parked: boolean;
  /** The result that was accepted, as JSON text. */
  result: string | null;
  /** Null once it has an outcome, or when it was cancelled. */
  work: ModelWork | null;
};

export type ModelLease = { token: string; boot: string; width: number; alone: boolean; renewed_at: number };

/**
 * One batch as the rules describe it, with a plain entry for each item: no ranges, no epochs, no
 * counters to keep. It is slow and obvious, and what a Store says is compared with it.
 */
export type BatchModel = {
  status: BatchStatus;
  pause_reason: PauseReason | null;
  paused_from: 'queued' | 'running';
  round: number;
  open: boolean;
  requires_approval: boolean;
  concurrency: number;
  policies: Policies;
  has_run: boolean;
  canary_to: number | null;
  /** Failures, and finished items, that the failure budget has forgiven. */
  budget: { failed: number; finished: number };
  /** What its leases were given to start: as the Store remembers it, and every single one. */
  rate: { starts: Starts; log: { at: number; count: number }[] };
  next_seq: number;
  items: Map<number, ModelItem>;
  leases: Map<string, ModelLease>;
};

export type Counts = { total: number; completed: number; failed: number; cancelled: number };

export function createBatchModel(options: {
  items: number;
  concurrency: number;
  policies: Policies;
  open: boolean;
  requires_approval: boolean;
}): BatchModel {
  const { items, ...rest } = options;
  const batch: BatchModel = {
    ...rest,
    status: 'draft',
    pause_reason: null,
    paused_from: 'queued',
    round: 1,
    has_run: false,
    canary_to: null,
    budget: { failed: 0, finished: 0 },
    rate: { starts: [], log: [] },
    next_seq: 1,
    items: new Map(),
    leases: new Map(),
  };
  addItems(batch, items);
  return batch;
}

export function countsOf(batch: BatchModel): Counts {
  const counts = { total: 0, completed: 0, failed: 0, cancelled: 0 };
  for (const { outcome, work } of batch.items.values()) {
    counts.total += 1;
    if (outcome !== null) counts[outcome] += 1;
    else if (work === null) counts.cancelled += 1;
  }
  return counts;
}

export function statusOf({ outcome, work }: ModelItem): ItemStatus {
  if (outcome !== null) return outcome;
  if (work === null) return 'cancelled';
  return work.token === null ? 'pending' : 'running';
}

export function widthOf(batch: BatchModel): number {
  return [...batch.leases.values()].reduce((sum, lease) => sum + lease.width, 0);
}

/** The items a lease still holds, in order. */
export function heldBy(batch: BatchModel, token: string): ModelItem[] {
  return [...batch.items.values()].filter(({ work }) => work?.token === token);
}

/** Those that lost their host once go first, so that a death holds them up for seconds; suspects go last. */
const rankOf = (crashes: number) => (crashes === 1 ? -1 : crashes);

/** Waiting items that may be leased now, the best first. */
export function readyItems(batch: BatchModel, now: number): { item: ModelItem; work: ModelWork }[] {
  if (!isActive(batch.status)) return [];
  const end = batch.canary_to ?? Number.POSITIVE_INFINITY;
  return [...batch.items.values()]
    .flatMap((item) => (item.work === null ? [] : [{ item, work: item.work }]))
    .filter(({ item, work }) => work.token === null && work.ready_at <= now && item.seq <= end)
    .sort(
      (a, b) =>
        b.work.priority - a.work.priority ||
        rankOf(a.work.crashes) - rankOf(b.work.crashes) ||
        a.item.seq - b.item.seq,
    );
}

/** How many items a lease with so many idle slots may be given to start, and when there will be more. */
export function startsLeft(
  { policies: { rate_limit }, rate }: BatchModel,
  { slots, now }: { slots: number; now: number },
): { items: number; next_at: number } {
  if (rate_limit === null) return { items: Number.POSITIVE_INFINITY, next_at: now };
  const { items, next_at } = startsAllowed(rate_limit, rate.starts, now);
  return { items: Math.min(items, slots), next_at };
}

/** Notes what was leased. Throws when a stretch holds more starts than the limit allows. */
export function noteStarts({ policies: { rate_limit }, rate }: BatchModel, count: number, now: number): void {
  if (rate_limit === null || count === 0) return;
  const { items, per_ms } = rate_limit;
  rate.starts = addStarts(rate_limit, rate.starts, count, now);
  rate.log.push({ at: now, count });
  const stretch = rate.log.filter(({ at }) => at > now - per_ms);
  const started = stretch.reduce((sum, each) => sum + each.count, 0);
  if (started > items) disagree(`${started} items were leased in ${per_ms} ms, ${items} may start`);
}

/** Whether an action is legal, in effect already, or refused. */
export function judge(batch: BatchModel, action: BatchAction): 'go' | 'already' | 'refused' {
  const rule: { from: readonly BatchStatus[]; already: readonly BatchStatus[] } = BATCH_ACTIONS[action];
  if (rule.from.includes(batch.status)) return 'go';
  return rule.already.includes(batch.status) ? 'already' : 'refused';
}

export function addItems(batch: BatchModel, count: number): void {
  for (let added = 0; added < count; added++) {
    const seq = batch.next_seq++;
    batch.items.set(seq, {
      seq,
      outcome: null,
      attempt: 0,
      recorded: new Set(),
      parked: false,
      result: null,
      work: freshWork(batch, 0, DEFAULT_PRIORITY),
    });
  }
  if (count > 0 && isFinal(batch.status)) batch.status = 'queued';
}

function freshWork({ policies }: BatchModel, attempt: number, priority: number): ModelWork {
  const lastAttempt = attempt + policies.max_attempts;
  return { attempt: attempt + 1, last_attempt: lastAttempt, crashes: 0, priority, ready_at: 0, token: null };
}

export function start(batch: BatchModel): void {
  if (batch.requires_approval) batch.status = 'awaiting_approval';
  else queue(batch);
}

export function queue(batch: BatchModel): void {
  const { canary } = batch.policies;
  const open = [...batch.items.values()].filter(({ work }) => work !== null);
  batch.status = 'queued';
  batch.requires_approval = false;
  batch.canary_to =
    canary !== null && canary.items < open.length ? (open[canary.items - 1]?.seq ?? null) : null;
  settle(batch);
}

export function pause(batch: BatchModel, reason: PauseReason): void {
  if (!isActive(batch.status)) return;
  batch.paused_from = batch.status === 'running' ? 'running' : 'queued';
  batch.status = 'paused';
  batch.pause_reason = reason;
}

export function resume(batch: BatchModel): void {
  const counts = countsOf(batch);
  if (batch.pause_reason === 'canary') batch.canary_to = null;
  batch.status = batch.paused_from;
  batch.pause_reason = null;
  batch.budget = { failed: counts.failed, finished: counts.completed + counts.failed };
  settle(batch);
}

export function cancel(batch: BatchModel): void {
  for (const item of batch.items.values()) item.work = null;
  batch.leases.clear();
  batch.open = false;
  batch.status = 'cancelled';
  batch.pause_reason = null;
}

/** Ends a lease; what it holds waits again as it was. */
export function release(batch: BatchModel, token: string): void {
  for (const { work } of heldBy(batch, token))
    if (work !== null) Object.assign(work, { token: null, ready_at: 0 });
  batch.leases.delete(token);
}

/** Ends a lease with its host: nothing is burned, but by an item that was alone with it. Answers the parked ones. */
export function loseHost(batch: BatchModel, lease: ModelLease): number {
  let parked = 0;
  const held = heldBy(batch, lease.token);
  release(batch, lease.token);
  for (const item of held) {
    const { work } = item;
    if (work === null) continue;
    work.crashes += 1;
    work.attempt += 1;
    if (!lease.alone) work.last_attempt += 1;
    if (work.attempt <= work.last_attempt) continue;
    Object.assign(item, {
      outcome: 'failed',
      parked: true,
      attempt: work.attempt - 1,
      work: null,
    } satisfies Partial<ModelItem>);
    parked += 1;
  }
  return parked;
}

/** Failed and cancelled items back to work. */
export function takeBack(batch: BatchModel, items: readonly ModelItem[]): void {
  if (items.length === 0) return;
  for (const item of items) {
    item.outcome = null;
    item.result = null;
    item.parked = false;
    item.work = freshWork(batch, item.attempt, RETRY_PRIORITY);
  }
  const { failed, completed } = countsOf(batch);
  if (isFinal(batch.status)) {
    batch.status = batch.requires_approval ? 'awaiting_approval' : 'queued';
    batch.round += 1;
    batch.budget = { failed, finished: completed + failed };
  } else {
    const forgiven = Math.min(batch.budget.failed, failed);
    batch.budget = { failed: forgiven, finished: batch.budget.finished - (batch.budget.failed - forgiven) };
  }
}

/** What may follow when something ended: the end of the batch, of its canary, or of its failure budget. */
export function settle(batch: BatchModel): void {
  const items = [...batch.items.values()];
  const { total, completed, failed } = countsOf(batch);
  const canEnd = isActive(batch.status) || batch.status === 'paused';
  if (canEnd && !batch.open && items.every(({ work }) => work === null)) {
    batch.status = finalStatus({
      total_items: total,
      completed_items: completed,
      failed_items: failed,
      skipped_items: 0,
    });
    batch.pause_reason = null;
    batch.canary_to = null;
    return;
  }
  if (!isActive(batch.status)) return;
  const end = batch.canary_to;
  if (end !== null && items.every(({ seq, work }) => seq > end || work === null)) endCanary(batch, end);
  else if (isBudgetUsedUp(batch)) pause(batch, 'failure_budget');
}

function endCanary(batch: BatchModel, end: number): void {
  const share = batch.policies.canary?.min_pass_percent;
  const items = [...batch.items.values()].filter(({ seq }) => seq <= end);
  const passed = items.filter(({ outcome }) => outcome === 'completed').length;
  if (share !== undefined && passed * 100 >= share * items.length) batch.canary_to = null;
  else pause(batch, 'canary');
}

function isBudgetUsedUp(batch: BatchModel): boolean {
  const { failure_budget: budget } = batch.policies;
  const counts = countsOf(batch);
  const failed = counts.failed - batch.budget.failed;
  const finished = counts.completed + counts.failed - batch.budget.finished;
  if (budget === null || failed <= 0) return false;
  if (budget.count !== undefined) return finished >= (budget.min_items ?? 1) && failed >= budget.count;
  return finished >= (budget.min_items ?? 50) && failed * 100 >= (budget.percent ?? 100) * finished;
}
