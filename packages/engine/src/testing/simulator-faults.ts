import type { BatchStatus, Json } from '@sheaf/protocol';
import type { Act } from '../ports/store.ts';
import type { SeededChance } from './chance.ts';
import { makeItems } from './factories.ts';
import type { BatchModel } from './range-model.ts';
import { isDeath, type SimulatedWorld, type Step } from './simulator-world.ts';

/** What goes wrong with processes and messages. */
export const faultSteps = { echo, stall, wake, killWorker, blackout, sweep } satisfies Record<string, Step>;

/** Outcomes that were answered long ago arrive once more. */
async function echo({ store, clock, echoes, turns }: SimulatedWorld, chance: SeededChance): Promise<boolean> {
  const request = echoes.splice(chance.below(Math.max(1, echoes.length)), 1)[0];
  if (request === undefined) return false;
  // Slots are the turn's to say: it is alive and knows how many it has by now.
  const width = turns.find(({ token }) => token === request.token)?.width ?? request.width;
  await store.record([{ ...request, width, more: 0 }], clock.now());
  return true;
}

/** A worker stops in the middle of everything and knows nothing of it. */
async function stall(world: SimulatedWorld, chance: SeededChance): Promise<boolean> {
  const worker = world.workers[chance.below(world.workers.length)];
  if (worker === undefined || worker.stalled) return false;
  worker.stalled = true;
  if (chance.often(0.5)) world.clock.advance(7_000);
  return true;
}

async function wake(world: SimulatedWorld, chance: SeededChance): Promise<boolean> {
  const stalled = world.workers.filter((worker) => worker.stalled);
  if (stalled.length === 0) return false;
  chance.pick(stalled).stalled = false;
  return true;
}

/** A worker is gone while its process lives: only the sweep can take its leases away. */
async function killWorker(world: SimulatedWorld, chance: SeededChance): Promise<boolean> {
  const worker = chance.below(world.workers.length);
  const before = world.turns.length;
  world.turns = world.turns.filter((turn) => turn.worker !== worker);
  return world.turns.length < before;
}

async function blackout(world: SimulatedWorld, chance: SeededChance): Promise<boolean> {
  world.was_killed = true;
  await killEverything(world, chance);
  return true;
}

/** The process is gone with all its turns; another one opens the database and recovers. */
export async function killEverything(world: SimulatedWorld, chance: SeededChance): Promise<void> {
  world.turns = [];
  world.orphans = [];
  for (const worker of world.workers) worker.stalled = false;
  await world.restart();
  const policy = chance.pick([null, null, 'resume', 'review'] as const);
  for (let starts = chance.often(0.1) ? 2 : 1; starts > 0; starts--) {
    world.boot += 1;
    await world.store.recover({
      boot: `boot-${world.boot}`,
      alone: true,
      review: [],
      policy,
      now: world.clock.now(),
    });
  }
}

async function sweep({ store, clock }: SimulatedWorld): Promise<boolean> {
  await store.sweep(clock.now());
  return true;
}

type Move = (world: SimulatedWorld, act: Act, chance: SeededChance) => Promise<boolean>;

const MOVES = {
  start: ({ store }, act) => store.act.start(act),
  approve: ({ store }, act) => store.act.approve(act),
  drain: ({ store }, act) => store.act.pause({ ...act, reason: 'user', mode: 'drain' }),
  pauseNow: ({ store }, act) => store.act.pause({ ...act, reason: 'user', mode: 'now' }),
  resume: ({ store }, act) => store.act.resume(act),
  cancel: ({ store }, act) => store.act.cancel(act),
  seal: ({ store }, act) => store.act.seal(act),
  append: ({ store }, act, chance) =>
    store.model(act.batch_id).items.size > 24
      ? refuse()
      : store.act.append(act, makeItems(1 + chance.below(3))),
  remove: ({ store }, act, chance) =>
    store.act.removeItem({ ...act, seq: someSeq(store.model(act.batch_id), chance) }),
  retryNamed,
  retryAll: ({ store }, act, chance) => {
    const status = chance.pick([null, ['failed'], ['cancelled'], ['failed', 'cancelled']] as const);
    const config: Record<string, Json> = { round: act.now };
    return store.act.retry({ ...act, ...(status && { status }), ...(chance.often(0.2) && { config }) });
  },
  concurrency: ({ store }, act, chance) =>
    store.act.setConcurrency({ ...act, concurrency: 1 + chance.below(6) }),
} satisfies Record<string, Move>;

type MoveName = keyof typeof MOVES;

/** What a user most likely wants of a batch in this state. */
const FITTING: Record<BatchStatus, readonly MoveName[]> = {
  draft: ['start', 'start', 'start', 'append', 'remove'],
  awaiting_approval: ['approve'],
  queued: ['drain', 'pauseNow', 'cancel', 'append', 'remove', 'concurrency'],
  running: [
    'drain',
    'pauseNow',
    'pauseNow',
    'cancel',
    'append',
    'remove',
    'retryNamed',
    'retryAll',
    'concurrency',
  ],
  paused: ['resume', 'resume', 'resume', 'retryAll', 'retryNamed', 'pauseNow', 'remove'],
  completed: ['append'],
  partially_completed: ['retryAll', 'retryNamed', 'append'],
  failed: ['retryAll', 'retryNamed', 'append'],
  cancelled: ['retryAll', 'retryNamed'],
};

/** A user does something at any moment, now and then what does not fit. */
export async function control(world: SimulatedWorld, chance: SeededChance): Promise<boolean> {
  const batchId = chance.pick(world.store.ids());
  const act = { space: 'default', batch_id: batchId, now: world.clock.now(), by: 'user' };
  const names = Object.keys(MOVES) as MoveName[]; // the keys of the record are its names
  const fitting = FITTING[world.store.model(batchId).status];
  const move: Move = MOVES[chance.pick(chance.often(0.7) ? fitting : names)];
  const dies = world.hostile && !world.quiet && chance.often(0.08);
  if (dies) world.dieAtCommit();
  try {
    await move(world, act, chance);
  } catch (error) {
    if (!isDeath(error)) throw error;
    world.was_killed = true;
    await killEverything(world, chance);
    return true;
  }
  // It had nothing to tell, and lived on; it must not die at some later commit.
  if (dies) await blackout(world, chance);
  return true;
}

function retryNamed({ store, clock }: SimulatedWorld, act: Act, chance: SeededChance): Promise<boolean> {
  const model = store.model(act.batch_id);
  const items = Array.from({ length: 1 + chance.below(3) }, () => someSeq(model, chance));
  // Whether one that is just due still waits for its retry is the Store's own business.
  const isDue = items.some((seq) => {
    const readyAt = model.items.get(seq)?.work?.ready_at ?? 0;
    return readyAt > 0 && readyAt <= clock.now();
  });
  return isDue ? refuse() : store.act.retry({ ...act, items });
}

function someSeq(model: BatchModel, chance: SeededChance): number {
  return model.items.size === 0 ? 1 : chance.pick([...model.items.keys()]);
}

async function refuse(): Promise<boolean> {
  return false;
}
