import { type BatchStatus, isFinal, SETTLING_STATUSES } from '../../packages/protocol/src/index.ts';
import type { Action, Call, Known, State } from './ack-log.ts';
import type { BatchImage, EventImage } from './image.ts';
import { type Problem, problem } from './problem.ts';

/**
 * Goes through the stored events of a batch from the last look on. Each must have a cause: a call that
 * was acknowledged, a call that was never answered, or a move the system makes by itself. And each
 * answer must agree with the state that the events had made by then, the database with all of them.
 */
export function checkMoves(known: Known, batch: BatchImage): Problem[] {
  const problems: Problem[] = [];
  const complain = (text: string) => problems.push(problem('moved', `${known.id}: ${text}`));
  const last = Math.max(known.found?.event_seq ?? 0, ...known.heard.map(({ state }) => state.event_seq));
  if (batch.event_seq < last) {
    complain(
      `${last - batch.event_seq} acknowledged moves are gone; it is ${words(batch)} at ${batch.event_seq}`,
    );
    return problems;
  }
  const seen = Math.max(0, ...known.heard.map(({ completed_items }) => completed_items));
  if (batch.completed_items < seen)
    complain(`${seen} items were said to be completed, ${batch.completed_items} are`);

  const state = known.found === null ? birthOf(batch) : { ...known.found };
  const spent = new Set<Call>();
  checkAnswers(known, state, complain);
  for (const event of batch.events.filter(({ seq }) => seq > state.event_seq)) {
    const cause = causeOf(event, state, { known, batch, spent });
    if (cause === null)
      complain(`it was ${words(state)}; event ${event.seq} (${wordsOf(event)}) came from nobody`);
    follow(state, event, cause);
    checkAnswers(known, state, complain);
  }
  const difference = differenceOf(state, batch);
  if (difference !== null) complain(`the database has ${difference}`);
  return problems;
}

/** A batch as its first event makes it. What it was given at birth never changed without an event. */
function birthOf(batch: BatchImage): State {
  const { priority, concurrency, events } = batch;
  const changes = events.some(({ type }) => type === 'batch_changed');
  return {
    status: 'draft',
    pause_reason: null,
    round: 1,
    priority: changes ? Number.NaN : priority,
    concurrency: changes ? Number.NaN : concurrency,
    total_items: events[0]?.total_items ?? 0,
    event_seq: 1,
  };
}

function checkAnswers({ heard }: Known, state: State, complain: (text: string) => void): void {
  for (const answer of heard) {
    if (answer.state.event_seq !== state.event_seq) continue;
    const difference = differenceOf(state, answer.state);
    if (difference !== null) complain(`${answer.call?.action ?? 'a read'} was answered with ${difference}`);
  }
}

/** How one differs from what it should be, or null. NaN is not known yet. */
function differenceOf(should: State, is: State): string | null {
  if (Number.isNaN(should.priority)) should.priority = is.priority;
  if (Number.isNaN(should.concurrency)) should.concurrency = is.concurrency;
  const [a, b] = [wordsOfState(should), wordsOfState(is)];
  return a === b ? null : `"${b}" at event ${is.event_seq}, where "${a}" should be`;
}

function wordsOfState(state: State): string {
  const { round, priority, concurrency, total_items } = state;
  return `${words(state)}, round ${round}, priority ${priority}, concurrency ${concurrency}, ${total_items} items`;
}

function words({ status, pause_reason }: Pick<State, 'status' | 'pause_reason'>): string {
  return pause_reason === null ? status : `${status} (${pause_reason})`;
}

function wordsOf({ type, status, pause_reason, by }: EventImage): string {
  return [type, status, pause_reason, by === undefined ? undefined : `by ${by}`].filter(Boolean).join(' ');
}

function follow(state: State, event: EventImage, cause: Call | 'system' | null): void {
  state.event_seq = event.seq;
  if (event.status !== undefined) {
    state.status = event.status;
    state.pause_reason = event.pause_reason ?? null;
  }
  if (event.type === 'items_added') state.total_items += event.count ?? 0;
  if (event.type === 'items_retried' && isFinal(state.status)) state.round += 1;
  if (event.type !== 'batch_changed' || cause === null || cause === 'system') return;
  if (cause.action === 'priority') state.priority = cause.value ?? Number.NaN;
  if (cause.action === 'concurrency') state.concurrency = cause.value ?? Number.NaN;
}

type Causes = { known: Known; batch: BatchImage; spent: Set<Call> };

/** Who brought an event about; null: nobody that we know of. */
function causeOf(event: EventImage, state: State, causes: Causes): Call | 'system' | null {
  const { type, status, by, count } = event;
  const { policies } = causes.batch;
  if (type === 'items_added')
    return spend(causes, event, (call) => call.action === 'append' && call.count === count);
  if (type === 'items_retried') return spend(causes, event, (call) => call.action.startsWith('retry'));
  if (type === 'batch_changed') {
    const field = event.fields?.join();
    // The canary ends with the record, or with the move, that finds its items done.
    if (field === 'canary') return policies.canary === null ? null : 'system';
    return spend(causes, event, (call) => call.action === field);
  }
  if (type !== 'batch_status' || status === undefined) return null;
  // A batch with nothing left ends, whoever acted last.
  if (isFinal(status) && status !== 'cancelled' && isSettling(state.status)) return 'system';
  if (by === 'system') return isOwnMove(event, state, causes.batch) ? 'system' : null;
  return candidates(causes, event).find(({ action }) => LEADS_TO[action].includes(status)) ?? null;
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

/** A call stores its events in one transaction, the last of them numbered as its answer says. */
const EVENTS_OF_A_CALL = 3;

/** Those that may have stored this event, the likeliest first. */
function candidates({ known }: Causes, { seq }: EventImage): Call[] {
  const answered = known.heard
    .filter(({ call, state }) => {
      // A repeated creation is answered long after the first one made the batch.
      if (call?.action === 'create') return true;
      return call !== null && seq <= state.event_seq && seq > state.event_seq - EVENTS_OF_A_CALL;
    })
    .toSorted((a, b) => a.state.event_seq - b.state.event_seq);
  return [...answered.flatMap(({ call }) => call ?? []), ...known.open];
}

/** A call brings one event of its kind. */
function spend(causes: Causes, event: EventImage, fits: (call: Call) => boolean): Call | null {
  const call = candidates(causes, event).find((candidate) => !causes.spent.has(candidate) && fits(candidate));
  if (call !== undefined) causes.spent.add(call);
  return call ?? null;
}
