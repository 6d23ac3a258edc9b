import { type BatchStatus, isFinal, SETTLING_STATUSES } from '../../packages/protocol/src/index.ts';
import type { AckLog, Action, Call, Handed, Known } from './ack-log.ts';
import type { BatchImage, EventImage, Image, ItemImage } from './image.ts';
import { type Problem, problem } from './problem.ts';

/**
 * Compares what was acknowledged with what the database has after the kill. What it has beyond that
 * must come from a call that was never answered, or be a move the system makes by itself.
 */
export function checkAcks(acks: AckLog, image: Image): Problem[] {
  const problems: Problem[] = [];
  for (const known of acks.batches.values()) {
    const batch = image.batches.get(known.id);
    if (batch === undefined) problems.push(problem('lost', `the acknowledged batch ${known.id} is gone`));
    else problems.push(...checkMoves(known, batch), ...checkHanded(known.items, known.open, batch));
  }
  const born = new Map<string, string>();
  for (const batch of image.batches.values()) {
    const { name, id } = batch;
    const twin = born.get(name);
    if (twin !== undefined) problems.push(problem('twice', `one call made both ${twin} and ${id}`));
    born.set(name, id);
    const call = acks.unborn.get(name);
    if (acks.batches.has(id)) continue;
    if (call === undefined) problems.push(problem('answer', `nobody asked for ${id}`));
    else problems.push(...checkHanded([], [call], batch));
  }
  return problems;
}

/** From here on the database's word counts as given: the calls left open have come true by now, or never will. */
export function adopt(acks: AckLog, image: Image): void {
  for (const known of acks.batches.values()) {
    const batch = image.batches.get(known.id);
    if (batch === undefined) continue;
    known.items = handedIn(batch.items);
    const { status, pause_reason, round, priority, concurrency, total_items, event_seq } = batch;
    const now = { status, pause_reason, round, priority, concurrency, total_items, event_seq };
    known.latest = { ...known.latest, ...now };
    known.open = [];
    known.was_retried = false;
  }
}

type State = Pick<BatchImage, 'status' | 'pause_reason' | 'round' | 'total_items'>;

function checkMoves(known: Known, batch: BatchImage): Problem[] {
  const { latest, id, open } = known;
  if (batch.event_seq < latest.event_seq) {
    const gone = `${latest.event_seq - batch.event_seq} acknowledged moves of ${id} are gone`;
    return [problem('moved', `${gone}: it was ${words(latest)} at ${latest.event_seq}, is ${words(batch)}`)];
  }
  const { status, pause_reason, round, total_items } = latest;
  const state: State = { status, pause_reason, round, total_items };
  const problems: Problem[] = [];
  const spent = new Set<Call>();
  let wasChanged = false;
  for (const event of batch.events.filter(({ seq }) => seq > latest.event_seq)) {
    if (!hasCause(event, state, { batch, open, spent })) {
      const what = `${event.type} ${event.status ?? ''} ${event.pause_reason ?? ''}`.trim();
      problems.push(
        problem(
          'moved',
          `${id} was ${words(state)}; event ${event.seq} (${what}) by ${event.by} came from nobody`,
        ),
      );
    }
    wasChanged ||= event.type === 'batch_changed';
    follow(state, event);
  }
  if (
    words(state) !== words(batch) ||
    state.total_items !== batch.total_items ||
    state.round !== batch.round
  ) {
    problems.push(
      problem(
        'moved',
        `${id} should be ${words(state)} with ${state.total_items} items in round ${state.round}, ` +
          `is ${words(batch)} with ${batch.total_items} in round ${batch.round}`,
      ),
    );
  }
  if (!wasChanged && (batch.priority !== latest.priority || batch.concurrency !== latest.concurrency)) {
    problems.push(problem('moved', `${id} has another priority or concurrency than was acknowledged`));
  }
  return problems;
}

function words({ status, pause_reason }: Pick<State, 'status' | 'pause_reason'>): string {
  return pause_reason === null ? status : `${status} (${pause_reason})`;
}

function follow(state: State, event: EventImage): void {
  if (event.status !== undefined) {
    state.status = event.status;
    state.pause_reason = event.pause_reason ?? null;
  }
  if (event.type === 'items_added') state.total_items += event.count ?? 0;
  if (event.type === 'items_retried' && isFinal(state.status)) state.round += 1;
}

type Causes = { batch: BatchImage; open: readonly Call[]; spent: Set<Call> };

function hasCause(event: EventImage, state: State, causes: Causes): boolean {
  if (event.type === 'items_added')
    return spend(causes, (call) => call.action === 'append' && call.count === event.count);
  if (event.type === 'items_retried') return spend(causes, (call) => call.action.startsWith('retry'));
  if (event.type === 'batch_changed') {
    if (event.by === 'system') return causes.batch.policies.canary !== null;
    return spend(causes, ({ action }) => action === 'priority' || action === 'concurrency');
  }
  if (event.type !== 'batch_status' || event.status === undefined) return false;
  // A batch with nothing left ends, whoever asked last.
  if (isFinal(event.status) && event.status !== 'cancelled' && isSettling(state.status)) return true;
  return event.by === 'system'
    ? isOwnMove(event, state, causes.batch)
    : causes.open.some(({ action }) => LEADS_TO[action].includes(event.status as BatchStatus));
}

/** What the system does unasked: begin, and hold what its policies tell it to hold. Never over a user's pause. */
function isOwnMove({ status, pause_reason }: EventImage, state: State, { policies }: BatchImage): boolean {
  if (status === 'running') return state.status === 'queued';
  if (status !== 'paused' || (state.status !== 'queued' && state.status !== 'running')) return false;
  if (pause_reason === 'interrupted') return policies.recovery === 'review';
  if (pause_reason === 'failure_budget') return policies.failure_budget !== null;
  return pause_reason === 'canary' && policies.canary !== null;
}

const LEADS_TO: Record<Action, readonly BatchStatus[]> = {
  create: ['queued'],
  append: ['queued'],
  pause: ['paused'],
  pause_now: ['paused'],
  resume: ['queued', 'running'],
  cancel: ['cancelled'],
  retry: ['queued'],
  retry_cancelled: ['queued'],
  retry_item: ['queued'],
  priority: [],
  concurrency: [],
};

function isSettling(status: BatchStatus): boolean {
  return SETTLING_STATUSES.some((settling) => settling === status);
}

function spend({ open, spent }: Causes, fits: (call: Call) => boolean): boolean {
  const call = open.find((candidate) => !spent.has(candidate) && fits(candidate));
  if (call !== undefined) spent.add(call);
  return call !== undefined;
}

/** Acknowledged items are there, in their places; those of an open call all are, or none. */
function checkHanded(acknowledged: readonly Handed[], open: readonly Call[], batch: BatchImage): Problem[] {
  const found = new Map(handedIn(batch.items).map((handed) => [handed.tag, handed]));
  const problems: Problem[] = [];
  for (const { tag, first_seq, count } of acknowledged) {
    const there = found.get(tag);
    found.delete(tag);
    if (there?.first_seq === first_seq && there.count === count) continue;
    const has = there === undefined ? 'none' : `${there.count} from ${there.first_seq} on`;
    problems.push(
      problem(
        'lost',
        `${batch.id}: of ${count} acknowledged items from ${first_seq} on (${tag}) there are ${has}`,
      ),
    );
  }
  for (const { tag, count } of found.values()) {
    const call = open.find((candidate) => candidate.tag === tag);
    if (call?.count !== count)
      problems.push(
        problem('lost', `${batch.id}: ${count} items of ${tag}, which brought ${call?.count ?? 'none'}`),
      );
  }
  return problems;
}

/** Neighbours whose names carry the same tag, in the right order: `c17-0`, `c17-1` … */
function handedIn(items: readonly ItemImage[]): Handed[] {
  const all: Handed[] = [];
  for (const { seq, name } of items) {
    const [tag = '', index] = name.split('-');
    const last = all.at(-1);
    if (last?.tag === tag && Number(index) === last.count && seq === last.first_seq + last.count)
      last.count += 1;
    else all.push({ tag, first_seq: seq, count: 1 });
  }
  return all;
}
