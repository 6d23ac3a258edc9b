import { isActive } from '@sheaf/protocol';
import type { LeasedItem, RecordAnswer, RecordRequest } from '../ports/leasing.ts';
import type { SeededChance } from './chance.ts';
import { disagree } from './disagreement.ts';
import { makeOutcome } from './factories.ts';
import { killEverything } from './simulator-faults.ts';
import type { SimulatedTurn, SimulatedWorld, Step } from './simulator-world.ts';

/** How long a grant, a renewal or an answered record permits starting items. */
const START_MS = 1_000;

/** What turns do when nothing goes wrong. */
export const workSteps = { lease, start, end, record, renew, handBack } satisfies Record<string, Step>;

/** An invitation reaches a worker, wanted or not: there may be too many of them, or two for one turn. */
async function lease(world: SimulatedWorld, chance: SeededChance): Promise<boolean> {
  const { store, clock, turns } = world;
  const free = world.workers.flatMap(({ stalled }, worker) =>
    stalled || turns.filter((turn) => turn.worker === worker).length >= 3 ? [] : [worker],
  );
  if (free.length === 0 || turns.some(({ alone }) => alone)) return false;
  const batchId = chance.pick(store.ids());
  const token = `token-${++world.leases}`;
  const now = clock.now();
  const answer = await store.lease({
    token,
    batch_id: batchId,
    worker: 'worker',
    boot: `boot-${world.boot}`,
    width: 1 + chance.below(4),
    limit: chance.pick([1, 2, 4, 8, 1_000]),
    idle: turns.every(({ running }) => running.length === 0),
    now,
  });
  const isAnswerLost = goesWrong(world, chance, 0.06);
  if ('refused' in answer) return true;
  if (isAnswerLost) {
    world.orphans.push(token);
    return true;
  }
  const { width, items, alone } = answer.lease;
  turns.push({
    token,
    batch_id: batchId,
    worker: chance.pick(free),
    width,
    alone,
    start_until: now + START_MS,
    todo: items,
    running: [],
    done: [],
    stopped: false,
    lost: false,
  });
  return true;
}

async function start(world: SimulatedWorld, chance: SeededChance): Promise<boolean> {
  const { clock, store } = world;
  const turns = awake(world).filter((turn) => canStart(world, turn));
  if (turns.length === 0) return false;
  const turn = chance.pick(turns);
  const item = turn.todo.splice(chance.below(turn.todo.length), 1)[0];
  if (item === undefined) return false;
  turn.running.push(item);
  const stoppedAt = world.stopped_at.get(turn.batch_id);
  if (stoppedAt !== undefined && clock.now() > stoppedAt + START_MS) {
    disagree(`item ${item.seq} started ${clock.now() - stoppedAt} ms after its batch stopped`);
  }
  const held = store.model(turn.batch_id).leases.get(turn.token);
  if (held !== undefined && turn.running.length > held.width) {
    disagree(`${turn.running.length} items run in the ${held.width} slots of ${turn.token}`);
  }
  return true;
}

function canStart(world: SimulatedWorld, turn: SimulatedTurn): boolean {
  if (turn.stopped || turn.lost || turn.todo.length === 0 || turn.running.length >= turn.width) return false;
  if (world.clock.now() > turn.start_until) return false;
  // What may have killed its host runs with nothing beside it, zombies counted.
  const others = world.turns.filter((other) => other !== turn);
  if (others.some(({ alone }) => alone)) return false;
  return !turn.alone || others.every(({ running }) => running.length === 0);
}

async function end(world: SimulatedWorld, chance: SeededChance): Promise<boolean> {
  const turns = awake(world).filter(({ running }) => running.length > 0);
  if (turns.length === 0) return false;
  const turn = chance.pick(turns);
  const item = turn.running.splice(chance.below(turn.running.length), 1)[0];
  if (item === undefined) return false;
  if (world.poison.has(`${turn.batch_id}/${item.seq}`)) await killEverything(world, chance);
  else if (!turn.lost) turn.done.push(outcomeOf(world, chance, turn, item));
  return true;
}

function outcomeOf(world: SimulatedWorld, chance: SeededChance, turn: SimulatedTurn, item: LeasedItem) {
  const wanted = world.quiet
    ? 'completed'
    : chance.pick(['completed', 'completed', 'completed', 'completed', 'failed', 'retry', 'retry'] as const);
  const status = wanted === 'retry' && item.attempt >= item.last_attempt ? 'failed' : wanted;
  const readyAt = world.clock.now() + chance.pick([0, 0, 300, 2_000]);
  // The result says whose it is: a late one must never take the place of another.
  const result = status === 'completed' ? JSON.stringify({ token: turn.token, attempt: item.attempt }) : null;
  const startedAt = world.clock.now();
  return makeOutcome(item, { status, ready_at: readyAt, result, started_at: startedAt });
}

/** The Recorder: what several turns have done goes into one commit. */
async function record(world: SimulatedWorld, chance: SeededChance): Promise<boolean> {
  const { store, clock } = world;
  const full = awake(world).filter(({ done }) => done.length > 0);
  if (full.length === 0) return false;
  const first = chance.below(full.length);
  const turns = full.slice(first, first + 1 + chance.below(3));
  const requests = turns.map((turn): RecordRequest => {
    const outcomes = chance.often(0.8) ? [...turn.done] : turn.done.slice(0, 1);
    const more = turn.stopped ? 0 : chance.pick([0, 0, 2, 6]);
    // Slots with a handler in them are never given away.
    const wanted = turn.stopped ? 0 : chance.pick([turn.width, 1 + chance.below(4)]);
    const width = Math.max(turn.running.length, wanted);
    // Fewer slots count at once, more of them only once they are granted.
    turn.width = Math.min(turn.width, width);
    return { token: turn.token, batch_id: turn.batch_id, outcomes, more, width };
  });
  const answers = await store.record(requests, clock.now());
  if (goesWrong(world, chance, 0.3)) world.echoes.push(...requests);
  // Without an answer the turns still hold what they have done, and send it again.
  if (goesWrong(world, chance, 0.08)) return true;
  for (const [index, turn] of turns.entries()) {
    const sent = requests[index]?.outcomes ?? [];
    turn.done = turn.done.filter((outcome) => !sent.includes(outcome));
    hear(world, turn, answers[index]);
  }
  return true;
}

function hear(world: SimulatedWorld, turn: SimulatedTurn, answer: RecordAnswer | undefined): void {
  if (answer === undefined || answer.lost || answer.batch === null) {
    loseLease(turn);
    return;
  }
  turn.width = answer.width;
  turn.todo.push(...answer.items);
  turn.stopped = !isActive(answer.batch.status);
  if (!turn.stopped) turn.start_until = world.clock.now() + START_MS;
}

function loseLease(turn: SimulatedTurn): void {
  turn.lost = true;
  turn.todo = [];
  turn.done = [];
}

/** The heartbeat of a worker: all its leases in one call. */
async function renew(world: SimulatedWorld, chance: SeededChance): Promise<boolean> {
  const { store, clock } = world;
  const worker = chance.below(world.workers.length);
  const turns = awake(world).filter((turn) => turn.worker === worker && !turn.lost);
  if (turns.length === 0) return false;
  const answers = await store.renew(
    turns.map(({ token }) => token),
    clock.now(),
  );
  for (const [index, turn] of turns.entries()) {
    const answer = answers[index];
    if (answer === undefined || !answer.held || answer.status === null) {
      loseLease(turn);
      continue;
    }
    turn.stopped = !isActive(answer.status);
    if (!turn.stopped) turn.start_until = clock.now() + START_MS;
  }
  return true;
}

async function handBack(world: SimulatedWorld, chance: SeededChance): Promise<boolean> {
  const { store, clock } = world;
  const orphan = world.orphans[0];
  if (orphan !== undefined && chance.often(0.5)) {
    world.orphans.shift();
    await store.release([orphan], clock.now());
    return true;
  }
  const turns = awake(world).filter(
    ({ running, done, todo, stopped, lost }) =>
      running.length === 0 &&
      done.length === 0 &&
      (todo.length === 0 || stopped || lost || chance.often(0.15)),
  );
  if (turns.length === 0) return false;
  const turn = chance.pick(turns);
  // Released by name even when empty: a record whose answer was lost may have leased more for it.
  await store.release([turn.token], clock.now());
  world.turns = world.turns.filter((other) => other !== turn);
  return true;
}

function awake(world: SimulatedWorld): SimulatedTurn[] {
  return world.turns.filter(({ worker }) => world.workers[worker]?.stalled === false);
}

function goesWrong(world: SimulatedWorld, chance: SeededChance, share: number): boolean {
  return world.hostile && !world.quiet && chance.often(share);
}
