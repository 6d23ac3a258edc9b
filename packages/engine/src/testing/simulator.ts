import { isFinal } from '@sheaf/protocol';
import { createSeededChance, type SeededChance } from './chance.ts';
import { disagree } from './disagreement.ts';
import { statusOf } from './range-model.ts';
import { control, faultSteps } from './simulator-faults.ts';
import { workSteps } from './simulator-work.ts';
import { createSimulatedWorld, noteStops, type SimulatedWorld, type Step } from './simulator-world.ts';
import { type LastingStore, openLastingStore } from './temporary-store.ts';

export type SimulationFailure = {
  seed: number;
  problem: string;
  /** What led to it, as short as it could be made. */
  trail: string[];
};

export type SimulationReport = { seed: number; steps: number; failure: SimulationFailure | null };

type OpenStore = () => Promise<LastingStore>;

const STEPS = { ...workSteps, ...faultSteps, control, tick } satisfies Record<string, Step>;
type StepName = keyof typeof STEPS;

/** How often a step is tried. Those of the turns come most often, or nothing would ever be done. */
const WEIGHTS: Record<StepName, number> = {
  lease: 3,
  start: 4,
  end: 4,
  record: 2.5,
  renew: 1,
  handBack: 1.2,
  echo: 0.2,
  stall: 0.12,
  wake: 0.4,
  killWorker: 0.1,
  blackout: 0.06,
  sweep: 0.4,
  control: 1.2,
  tick: 1.5,
};

/** Steps of the liveness phase, and the most of them that a world needs to come to its end. */
const PEACEFUL = [
  'lease',
  'start',
  'end',
  'record',
  'renew',
  'handBack',
  'tick',
] as const satisfies StepName[];
const MOST_PEACEFUL_STEPS = 6_000;

/** One thing that happens. Its chance is its own, so that it goes the same way without those before it. */
type Planned = { name: StepName; seed: number };

/**
 * Plays one hostile history: turns that lose answers, stall, die and come back, users who steer at any
 * moment, items that kill their process. After each step everything is compared with the reference
 * model. Then all faults stop, and every batch must come to its end; where nothing but users' moves
 * happened, without the sweep.
 *
 * The same seed and number of steps play the same history.
 *
 * @param options.open An empty store. @default SQLite
 */
export async function simulate(options: {
  seed: number;
  steps: number;
  open?: OpenStore;
}): Promise<SimulationReport> {
  const { seed, steps, open = openLastingStore } = options;
  const plan = makePlan(seed, steps);
  const problem = await play(open, seed, plan);
  const failure = problem === null ? null : { seed, ...(await shrink(open, { seed, plan, problem })) };
  return { seed, steps, failure };
}

function makePlan(seed: number, steps: number): Planned[] {
  const chance = createSeededChance(seed ^ 0x5eed);
  const names = Object.keys(WEIGHTS) as StepName[]; // the keys of the record are its names
  const sum = names.reduce((total, name) => total + WEIGHTS[name], 0);
  return Array.from({ length: steps }, () => {
    let point = chance.random() * sum;
    const name = names.find((candidate) => {
      point -= WEIGHTS[candidate];
      return point < 0;
    });
    return { name: name ?? 'tick', seed: chance.below(2 ** 31) };
  });
}

/** Answers what went wrong, or null. */
async function play(open: OpenStore, seed: number, plan: readonly Planned[]): Promise<string | null> {
  const world = await createSimulatedWorld(seed, await open());
  try {
    for (const { name, seed: own } of plan) {
      if (!world.hostile && name in faultSteps) continue;
      const happened = await STEPS[name](world, createSeededChance(own));
      noteStops(world);
      if (happened) await world.check();
    }
    await comeToAnEnd(world, createSeededChance(seed ^ 0x2e57));
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    await world.dispose();
  }
}

/** Faults stop, somebody presses start, resume and seal, and everything must end. */
async function comeToAnEnd(world: SimulatedWorld, chance: SeededChance): Promise<void> {
  world.quiet = true;
  for (const worker of world.workers) worker.stalled = false;
  for (let step = 0; step < MOST_PEACEFUL_STEPS; step++) {
    if (await pressOn(world)) {
      await world.check();
      checkEnd(world);
      return;
    }
    const name: StepName = world.hostile && chance.often(0.03) ? 'sweep' : chance.pick(PEACEFUL);
    noteStops(world);
    const happened = await STEPS[name](world, chance);
    noteStops(world);
    if (happened && step % 10 === 0) await world.check();
  }
  const left = world.store.ids().map((id) => world.store.model(id).status);
  disagree(`after ${MOST_PEACEFUL_STEPS} peaceful steps the batches are still ${left.join(', ')}`);
}

/** Moves on whatever waits for a person. Answers whether everything has ended. */
async function pressOn({ store, clock }: SimulatedWorld): Promise<boolean> {
  let areAllFinal = true;
  for (const id of store.ids()) {
    const batch = store.model(id);
    const act = { space: 'default', batch_id: id, now: clock.now(), by: 'user' };
    if (isFinal(batch.status)) continue;
    areAllFinal = false;
    if (batch.open) await store.act.seal(act);
    if (batch.status === 'draft') await store.act.start(act);
    else if (batch.status === 'awaiting_approval') await store.act.approve(act);
    else if (batch.status === 'paused') await store.act.resume(act);
  }
  return areAllFinal;
}

function checkEnd({ store, poison, was_killed }: SimulatedWorld): void {
  for (const id of store.ids()) {
    for (const item of store.model(id).items.values()) {
      if (statusOf(item) === 'pending' || statusOf(item) === 'running')
        disagree(`item ${item.seq} never ended`);
      if (item.parked && !was_killed && !poison.has(`${id}/${item.seq}`)) {
        disagree(`item ${item.seq} was parked as poison and is innocent`);
      }
    }
  }
}

async function tick(world: SimulatedWorld, chance: SeededChance): Promise<boolean> {
  const usual = chance.pick([20, 100, 300, 1_100]);
  world.clock.advance(world.hostile && !world.quiet && chance.often(0.04) ? 7_000 : usual);
  return true;
}

/** The most plays spent on making a failure short. */
const SHRINK_PLAYS = 400;

/** Drops steps, many at once and then fewer, as long as the same kind of problem remains. */
async function shrink(
  open: OpenStore,
  { seed, plan, problem }: { seed: number; plan: readonly Planned[]; problem: string },
): Promise<{ problem: string; trail: string[] }> {
  const kindOf = (text: string) => text.replace(/bat_\w+|token-\d+|\d+/g, '#').slice(0, 60);
  let best = { plan, problem };
  let plays = 0;
  for (let size = Math.ceil(plan.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < best.plan.length && plays < SHRINK_PLAYS; ) {
      const shorter = best.plan.toSpliced(from, size);
      plays += 1;
      const found = await play(open, seed, shorter);
      if (found !== null && kindOf(found) === kindOf(problem)) best = { plan: shorter, problem: found };
      else from += size;
    }
  }
  return { problem: best.problem, trail: best.plan.map(({ name }) => name) };
}
