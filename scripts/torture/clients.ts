import { setTimeout as wait } from 'node:timers/promises';
import { type Client, createClient } from '../../packages/client/src/index.ts';
import { createSeededChance, type SeededChance } from '../../packages/engine/src/testing/chance.ts';
import { errorCode, isFinal } from '../../packages/protocol/src/index.ts';
import type { AckLog, Action, Call, Known, Wish } from './ack-log.ts';
import { makeBatch, makeItems, type NewBatch, perform, wrongIn, wrongNumbers } from './actions.ts';
import { ledger } from './ledger-processor.ts';
import { type Problem, problem } from './problem.ts';

const CLIENTS = 4;

/** A client thinks up to this long between two calls. */
const MOST_THOUGHT_MS = 40;

/** Batches that are steered most: the newest ones. */
const IN_FOCUS = 12;

/** Items that wait in the steady batch when the clients begin. */
const STEADY_BACKLOG = 120;

/** What outlives a server: whom the next one is asked about. */
export type Crowd = {
  acks: AckLog;
  ledgerFile: string;
  /** Bodies of new batches that nobody has an answer for: the same call is made again. */
  bodies: Map<string, NewBatch>;
  /** The call that made the batch which is never steered, so that every restart has something to go on with. */
  steady: Call | null;
};

export type Shift = { crowd: Crowd; url: string; round: number; seed: number; items: number };

/**
 * Lets several clients steer at once until the signal, or until their server is gone. Each makes one
 * call at a time; what is answered, refused or left open stands in the log of acknowledgements.
 */
export async function letClientsWork(shift: Shift, signal: AbortSignal): Promise<Problem[]> {
  const client = createClient({ url: shift.url });
  const problems: Problem[] = [];
  const left = { items: shift.items };
  if (await prepare(shift, client, problems, signal)) {
    await Promise.all(
      Array.from({ length: CLIENTS }, (_, index) =>
        work(shift, client, { chance: createSeededChance(shift.seed + index), left, problems, signal }),
      ),
    );
  }
  return problems;
}

/** Makes the calls again whose answer a kill swallowed, and fills up the steady batch. */
async function prepare(
  shift: Shift,
  client: Client,
  problems: Problem[],
  signal: AbortSignal,
): Promise<boolean> {
  const { crowd, round } = shift;
  for (const call of crowd.acks.unborn.values()) {
    if (signal.aborted || !(await ask(shift, client, call, { problems }))) return false;
  }
  const known = steadyOf(crowd);
  if (known === undefined) {
    const call = crowd.acks.sent(
      { action: 'create', batch_id: null, count: STEADY_BACKLOG, value: null },
      round,
    );
    crowd.steady = call;
    const items = steadyItems(shift, call);
    crowd.bodies.set(call.tag, {
      name: call.tag,
      processor: ledger.name,
      items,
      concurrency: 2,
      priority: 6,
    });
    return ask(shift, client, call, { problems });
  }
  const waiting = (await client.get(known.id).catch(() => null))?.pending_items;
  if (waiting === undefined || signal.aborted) return false;
  const count = STEADY_BACKLOG - waiting;
  if (count <= 0) return true;
  const call = crowd.acks.sent({ action: 'append', batch_id: known.id, count, value: null }, round);
  return ask(shift, client, call, { items: steadyItems(shift, call), problems });
}

function steadyOf({ acks, steady }: Crowd): Known | undefined {
  return [...acks.batches.values()].find(({ latest }) => latest.name === steady?.tag);
}

function steadyItems({ crowd: { ledgerFile }, seed }: Shift, { tag, count }: Call) {
  return makeItems(createSeededChance(seed), { tag, count, processor: ledger.name, ledgerFile });
}

async function work(
  shift: Shift,
  client: Client,
  {
    chance,
    left,
    problems,
    signal,
  }: { chance: SeededChance; left: { items: number }; problems: Problem[]; signal: AbortSignal },
): Promise<void> {
  const { crowd, round } = shift;
  while (!signal.aborted) {
    const wish = choose(crowd, chance, left);
    if (wish !== null) {
      const call = crowd.acks.sent(wish, round);
      const about = { tag: call.tag, count: call.count, ledgerFile: crowd.ledgerFile };
      if (call.action === 'create') crowd.bodies.set(call.tag, makeBatch(chance, about));
      const processor = crowd.acks.batches.get(call.batch_id ?? '')?.latest.processor ?? '';
      const items = call.action === 'append' ? makeItems(chance, { ...about, processor }) : [];
      if (!(await ask(shift, client, call, { items, problems }))) return;
    }
    await wait(chance.below(MOST_THOUGHT_MS));
  }
}

/** Answers whether the server did: with what was asked for, or with a refusal that is no surprise. */
async function ask(
  { crowd }: Shift,
  client: Client,
  call: Call,
  { items = [], problems }: { items?: ReturnType<typeof makeItems>; problems: Problem[] },
): Promise<boolean> {
  const batch = crowd.bodies.get(call.tag) ?? { name: call.tag };
  try {
    const answer = await perform(client, call, { batch, items });
    crowd.acks.acknowledged(call, answer.batch, answer.first_seq);
    crowd.bodies.delete(call.tag);
    const wrong = wrongIn(call, answer);
    if (wrong !== null) problems.push(problem('answer', `${answer.batch.id} (${call.tag}): ${wrong}`));
    return true;
  } catch (error) {
    const code = errorCode(error);
    if (code === 'unreachable') {
      crowd.acks.unanswered(call);
      return false;
    }
    crowd.acks.refused(call, code ?? String(error));
    crowd.bodies.delete(call.tag);
    if (code === 'wrong_status' && call.batch_id !== null)
      return look(crowd, client, call.batch_id, problems);
    const text = error instanceof Error ? error.message : String(error);
    problems.push(
      problem('answer', `${call.action} ${call.batch_id ?? ''} (${call.tag}) was answered: ${text}`),
    );
    return true;
  }
}

/** What a refused client does next. A read says what is on disk, so it must hold like an acknowledgement. */
async function look({ acks }: Crowd, client: Client, batchId: string, problems: Problem[]): Promise<boolean> {
  const batch = await client.get(batchId).catch(() => null);
  if (batch === null) return false;
  acks.seen(batch);
  const wrong = wrongNumbers(batch);
  if (wrong !== null) problems.push(problem('answer', `${batchId}, read: ${wrong}`));
  return true;
}

type Choice = readonly [Action, number];

const FOR_PAUSED: readonly Choice[] = [
  ['resume', 12],
  ['append', 2],
  ['pause_now', 1],
  ['pause', 1],
  ['retry', 1],
  ['priority', 1],
  ['concurrency', 1],
  ['cancel', 0.3],
];

const FOR_ACTIVE: readonly Choice[] = [
  ['pause', 5],
  ['pause_now', 4],
  ['append', 4],
  ['retry', 3],
  ['retry_item', 2],
  ['priority', 3],
  ['concurrency', 4],
  ['resume', 2],
  ['cancel', 0.7],
];

const FOR_FINAL: readonly Choice[] = [
  ['append', 3],
  ['retry', 4],
  ['retry_item', 1],
  ['retry_cancelled', 2],
  ['pause', 0.5],
  ['cancel', 0.5],
];

/** The next thing to ask; null when there is nothing to steer and no item left to hand in. */
function choose(crowd: Crowd, chance: SeededChance, left: { items: number }): Wish | null {
  const known = [...crowd.acks.batches.values()].filter(({ latest }) => latest.name !== crowd.steady?.tag);
  if (left.items > 0 && (known.length < 3 || chance.often(0.12))) {
    const count = takeItems(left, chance.often(0.1) ? 200 : 1 + chance.below(50));
    return { action: 'create', batch_id: null, count, value: null };
  }
  if (known.length === 0) return null;
  const focus = chance.often(0.85) ? known.slice(-IN_FOCUS) : known;
  return steer(chance.pick(focus), chance, left);
}

function steer({ id, latest }: Known, chance: SeededChance, left: { items: number }): Wish {
  const { status } = latest;
  const choices = isFinal(status) ? FOR_FINAL : status === 'paused' ? FOR_PAUSED : FOR_ACTIVE;
  const action = pickOne(choices, chance);
  const wish = { action, batch_id: id, count: 0, value: null };
  switch (action) {
    case 'append': {
      const count = takeItems(left, 1 + chance.below(12));
      return count > 0 ? { ...wish, count } : { ...wish, action: 'resume' };
    }
    case 'retry_item':
      return { ...wish, value: 1 + chance.below(latest.total_items) };
    case 'priority':
      return { ...wish, value: chance.below(10) };
    case 'concurrency':
      return { ...wish, value: 1 + chance.below(6) };
    default:
      return wish;
  }
}

function takeItems(left: { items: number }, wanted: number): number {
  const count = Math.min(wanted, left.items);
  left.items -= count;
  return count;
}

function pickOne(choices: readonly Choice[], chance: SeededChance): Action {
  const whole = choices.reduce((sum, [, weight]) => sum + weight, 0);
  let at = chance.random() * whole;
  for (const [action, weight] of choices) {
    at -= weight;
    if (at < 0) return action;
  }
  return 'resume';
}
