import { isActive } from '@sheaf/protocol';
import type {
  LeaseAnswer,
  LeasedItem,
  Outcome,
  RecordAnswer,
  RecordRequest,
  RenewAnswer,
} from '../ports/leasing.ts';
import type { Store } from '../ports/store.ts';
import { agree, disagree } from './disagreement.ts';
import {
  type BatchModel,
  countsOf,
  heldBy,
  loseHost,
  type ModelLease,
  type ModelWork,
  noteStarts,
  pause,
  readyItems,
  release,
  settle,
  startsLeft,
  widthOf,
} from './range-model.ts';

/** The Store under test and what the model knows of its batches. */
export type Checked = { store: () => Store; batches: Map<string, BatchModel> };

/** Ranges that lost a host this often run alone. */
const ALONE_FROM = 2;
const LEASE_LIFE_MS = 6_000;

export type Heart = Pick<Store, 'lease' | 'record' | 'renew' | 'release' | 'recover' | 'sweep'>;

/** The methods that hand out, record and take back work; every answer is compared with the model's. */
export function checkedHeart(checked: Checked): Heart {
  const { store, batches } = checked;
  const find = (token: string) => [...batches.values()].find(({ leases }) => leases.has(token));
  return {
    async lease(options) {
      const answer = await store().lease(options);
      const batch = batches.get(options.batch_id);
      if (batch === undefined) disagree(`${options.batch_id} was never made`);
      checkLease(batch, options, answer);
      return answer;
    },
    async record(requests, now) {
      const answers = await store().record(requests, now);
      const pairs = requests.map((request, index) => {
        const answer = answers[index];
        if (answer?.token !== request.token) disagree('records and answers do not pair up');
        return { request, answer };
      });
      // As in the commit: what has no lease any more is an echo also of what is recorded beside it.
      const isHeld = ({ request }: (typeof pairs)[number]) => find(request.token) !== undefined;
      for (const { request, answer } of [...pairs.filter(isHeld), ...pairs.filter((each) => !isHeld(each))]) {
        checkRecord(batches.get(request.batch_id), request, answer, now);
      }
      return answers;
    },
    async renew(tokens, now) {
      const answers = await store().renew(tokens, now);
      for (const [index, token] of tokens.entries()) checkRenewal(find(token), token, answers[index], now);
      return answers;
    },
    async release(tokens, now) {
      await store().release(tokens, now);
      for (const token of tokens) {
        const batch = find(token);
        if (batch !== undefined) release(batch, token);
      }
    },
    async recover(options) {
      const report = await store().recover(options);
      checkRecovery(batches, options, report);
      return report;
    },
    async sweep(now) {
      const { expired } = await store().sweep(now);
      let silent = 0;
      for (const batch of batches.values()) {
        for (const lease of [...batch.leases.values()]) {
          if (lease.renewed_at >= now - LEASE_LIFE_MS) continue;
          release(batch, lease.token);
          silent += 1;
        }
      }
      // More is no mistake: leases that a cancel or a pause made void are cleared as well.
      if (expired < silent) disagree(`${silent} leases are silent, ${expired} were taken away`);
      return { expired };
    },
  };
}

function checkLease(batch: BatchModel, options: Parameters<Store['lease']>[0], answer: LeaseAnswer): void {
  const { now, token } = options;
  const room = batch.concurrency - widthOf(batch);
  const ready = readyItems(batch, now);
  const fit = ready.filter(({ work }) => options.idle || work.crashes < ALONE_FROM);
  const slots = Math.min(options.width, room);
  const starts = startsLeft(batch, { slots, now });
  if ('refused' in answer) {
    const expected = !isActive(batch.status)
      ? 'not_active'
      : room <= 0
        ? 'no_width'
        : starts.items === 0
          ? 'rate_limited'
          : ready.length === 0
            ? 'none_ready'
            : fit.length === 0
              ? 'needs_idle'
              : 'a lease';
    agree('refusal', answer.refused, expected);
    if (answer.refused === 'rate_limited') agree('next_ready_at', answer.next_ready_at, starts.next_at);
    if (answer.refused === 'none_ready') agree('next_ready_at', answer.next_ready_at, nextReady(batch, now));
    return;
  }
  const { lease } = answer;
  if (!isActive(batch.status)) disagree(`a ${batch.status} batch was leased`);
  const limit = Math.min(options.limit, starts.items);
  const alone = checkGranted(batch, fit, lease.items, { limit, width: slots });
  noteStarts(batch, lease.items.length, now);
  agree('alone', lease.alone, alone);
  agree('width', lease.width, alone ? 1 : Math.min(options.width, room, lease.items.length));
  hold(batch, lease.items, token);
  const { boot } = options;
  batch.leases.set(token, { token, boot, width: lease.width, alone, renewed_at: now });
  if (widthOf(batch) > batch.concurrency)
    disagree(`${widthOf(batch)} slots of ${batch.concurrency} are leased`);
  batch.status = 'running';
  batch.has_run = true;
}

function nextReady(batch: BatchModel, now: number): number | null {
  const times = [...batch.items.values()].flatMap(({ work }) =>
    work !== null && work.token === null && work.ready_at > now ? [work.ready_at] : [],
  );
  return times.length === 0 ? null : Math.min(...times);
}

/** What was granted must be the best of what is ready, of one kind, and as much as was asked for. */
function checkGranted(
  batch: BatchModel,
  ready: readonly { item: { seq: number }; work: ModelWork }[],
  items: readonly LeasedItem[],
  { limit, width }: { limit: number; width: number },
): boolean {
  const best = ready[0]?.work;
  if (best === undefined) {
    if (items.length > 0) disagree(`items ${items.map(({ seq }) => seq)} were leased, none is ready`);
    return false;
  }
  const alone = best.crashes >= ALONE_FROM;
  const most = alone ? 1 : best.crashes > 0 ? Math.min(limit, width) : limit;
  const kind = ready.filter(({ work }) => work.priority === best.priority && work.crashes === best.crashes);
  const expected = kind
    .slice(0, most)
    .map(({ item, work }) => [item.seq, work.attempt, work.last_attempt, work.priority]);
  const granted = items.map((item) => [item.seq, item.attempt, item.last_attempt, item.priority]);
  agree(`leased items of a ${batch.status} batch`, granted, expected);
  return alone;
}

function hold(batch: BatchModel, items: readonly LeasedItem[], token: string): void {
  for (const { seq } of items) {
    const work = batch.items.get(seq)?.work;
    if (work) work.token = token;
  }
}

function checkRecord(
  batch: BatchModel | undefined,
  request: RecordRequest,
  answer: RecordAnswer,
  now: number,
): void {
  const lease = batch?.leases.get(request.token);
  if (batch === undefined || lease === undefined) {
    const late = request.outcomes.filter((outcome) => !isEcho(batch, outcome)).length;
    const isLost = late > 0 || request.outcomes.length === 0;
    agree('lost', answer.lost, isLost);
    agree('accepted of a lost lease', answer.accepted, 0);
    agree('refused of a lost lease', answer.refused, late);
    agree('batch of a lost lease', answer.batch === null, isLost);
    agree('items of a lost lease', answer.items, []);
    return;
  }
  agree('lost', answer.lost, false);
  const widthBefore = widthOf(batch);
  const fates = request.outcomes.map((outcome) => takeOutcome(batch, outcome, request.token));
  agree('accepted', answer.accepted, fates.filter((fate) => fate === 'accepted').length);
  agree('refused', answer.refused, fates.filter((fate) => fate === 'refused').length);
  settle(batch);
  checkMore(batch, lease, request, answer, now);
  checkSlots(batch, lease, request, answer, widthBefore);
  lease.renewed_at = now;
  checkPulse(batch, answer);
}

function takeOutcome(batch: BatchModel, outcome: Outcome, token: string): 'accepted' | 'refused' | 'echo' {
  const item = batch.items.get(outcome.seq);
  if (item === undefined) return 'refused';
  if (item.work?.token !== token || item.work.attempt !== outcome.attempt) {
    return item.attempt >= outcome.attempt ? 'echo' : 'refused';
  }
  item.attempt = outcome.attempt;
  item.recorded.add(signOf(outcome));
  if (outcome.retry === null) {
    item.outcome = outcome.status === 'completed' ? 'completed' : 'failed';
    item.result = outcome.result;
    item.work = null;
  } else {
    const { last_attempt, priority, ready_at } = outcome.retry;
    item.work = { attempt: outcome.attempt + 1, last_attempt, crashes: 0, priority, ready_at, token: null };
  }
  return 'accepted';
}

/** What was recorded already, by a record that ended the lease and whose answer got lost. */
function isEcho(batch: BatchModel | undefined, outcome: Outcome): boolean {
  return batch?.items.get(outcome.seq)?.recorded.has(signOf(outcome)) ?? false;
}

function signOf({ attempt, started_at, duration_ms }: Outcome): string {
  return `${attempt}/${started_at}/${duration_ms}`;
}

function checkMore(
  batch: BatchModel,
  lease: ModelLease,
  { more, width }: RecordRequest,
  { items, next_ready_at }: RecordAnswer,
  now: number,
): void {
  const room = Math.max(0, batch.concurrency - widthOf(batch));
  const left = heldBy(batch, lease.token).length;
  const slots = Math.max(0, Math.min(width, lease.width + room) - left);
  const starts = startsLeft(batch, { slots, now });
  const ready = readyItems(batch, now).filter(({ work }) => work.crashes < ALONE_FROM);
  const wanted = lease.alone || !isActive(batch.status) ? 0 : more;
  const limit = Math.min(wanted, starts.items);
  if (limit === 0) agree('more items', items, []);
  else checkGranted(batch, ready, items, { limit, width: Math.max(1, Math.min(width, room)) });
  const next = starts.items > 0 ? nextReady(batch, now) : starts.next_at > now ? starts.next_at : null;
  agree('next_ready_at of a record', next_ready_at, wanted > 0 && items.length === 0 ? next : null);
  noteStarts(batch, items.length, now);
  hold(batch, items, lease.token);
}

function checkSlots(
  batch: BatchModel,
  lease: ModelLease,
  request: RecordRequest,
  answer: RecordAnswer,
  widthBefore: number,
): void {
  const left = heldBy(batch, lease.token).length;
  const wanted = Math.min(request.width, left);
  if (answer.width > wanted) disagree(`a lease with use for ${wanted} slots has ${answer.width}`);
  if (answer.width < Math.min(wanted, lease.width)) disagree(`a lease lost slots it had and wants`);
  lease.width = answer.width;
  if (left === 0) batch.leases.delete(lease.token);
  // A lowered concurrency takes no slot away, but none may be added above it.
  if (widthOf(batch) > Math.max(batch.concurrency, widthBefore)) {
    disagree(`${widthOf(batch)} slots of ${batch.concurrency} are leased`);
  }
}

function checkPulse(batch: BatchModel, { batch: pulse }: RecordAnswer): void {
  if (pulse === null) disagree('a record that counts has no batch in its answer');
  const { total, completed, failed, cancelled } = countsOf(batch);
  agree(
    'pulse',
    [
      pulse.status,
      pulse.concurrency,
      pulse.total_items,
      pulse.completed_items,
      pulse.failed_items,
      pulse.cancelled_items,
    ],
    [batch.status, batch.concurrency, total, completed, failed, cancelled],
  );
  agree('running items in the pulse', pulse.running_items, widthOf(batch));
}

function checkRenewal(
  batch: BatchModel | undefined,
  token: string,
  answer: RenewAnswer | undefined,
  now: number,
): void {
  const lease = batch?.leases.get(token);
  const expected =
    batch === undefined || lease === undefined
      ? [token, false]
      : [token, true, batch.status, batch.concurrency, lease.width];
  const { held, status, concurrency, width } = answer ?? {};
  agree(
    'renewal',
    held ? [answer?.token, held, status, concurrency, width] : [answer?.token, held],
    expected,
  );
  if (lease !== undefined) lease.renewed_at = now;
}

function checkRecovery(
  batches: Map<string, BatchModel>,
  { boot, policy }: Parameters<Store['recover']>[0],
  report: Awaited<ReturnType<Store['recover']>>,
): void {
  const expected = { recovered: [] as string[], interrupted: [] as string[], poisoned: 0 };
  for (const [id, batch] of batches) {
    const lost = [...batch.leases.values()].filter((lease) => lease.boot !== boot);
    for (const lease of lost) expected.poisoned += loseHost(batch, lease);
    settle(batch);
    if (!isActive(batch.status)) continue;
    const isHeld = (batch.policies.recovery ?? policy) === 'review' && (lost.length > 0 || batch.has_run);
    if (isHeld) {
      pause(batch, 'interrupted');
      expected.interrupted.push(id);
    } else if (lost.length > 0) expected.recovered.push(id);
  }
  agree('poisoned', report.poisoned, expected.poisoned);
  agree('recovered', [...report.recovered].sort(), expected.recovered.sort());
  agree('interrupted', [...report.interrupted].sort(), expected.interrupted.sort());
}
