import { DEFAULT_POLICIES, isActive, makeId, type Policies } from '@sheaf/protocol';
import type { LeasedItem, Outcome, RecordRequest } from '../ports/leasing.ts';
import { createSeededChance, type SeededChance } from './chance.ts';
import { type CheckedStore, createCheckedStore } from './checked-store.ts';
import { makeBatch, makeItems } from './factories.ts';
import { createFakeClock, type FakeClock } from './fake-clock.ts';
import type { LastingStore } from './temporary-store.ts';

/** A turn at work, with what it believes; the Store may think otherwise of it by now. */
export type SimulatedTurn = {
  token: string;
  batch_id: string;
  worker: number;
  width: number;
  alone: boolean;
  /** Items may be started until then. */
  start_until: number;
  todo: LeasedItem[];
  running: LeasedItem[];
  done: Outcome[];
  /** The batch is not active: what runs is recorded, the rest goes back. */
  stopped: boolean;
  /** The lease is gone; handlers that still run are zombies. */
  lost: boolean;
};

/** One server process with its workers, the database under it, and who makes their lives hard. */
export type SimulatedWorld = {
  clock: FakeClock;
  store: CheckedStore;
  /** Whether anything but the users' own moves goes wrong; the sweep runs only where it does. */
  hostile: boolean;
  /** The liveness phase: nothing goes wrong any more. */
  quiet: boolean;
  boot: number;
  /** Counts tokens. */
  leases: number;
  workers: { stalled: boolean }[];
  turns: SimulatedTurn[];
  /** Tokens of leases whose answer was lost. */
  orphans: string[];
  /** Records that arrive once more, late. */
  echoes: RecordRequest[];
  /** `bat_…/17` of items that kill the process they run in. */
  poison: Set<string>;
  /** Whether a process died without a poison item doing it. */
  was_killed: boolean;
  /** Since when a batch is not active. */
  stopped_at: Map<string, number>;
  /** Lets the process die with its next commit that stores an event, before the caller gets its answer. */
  dieAtCommit(): void;
  /** Everything dies at once, and another process opens the same file. */
  restart(): Promise<void>;
  /** Throws at the first thing that is not as it must be. */
  check(): Promise<void>;
  dispose(): Promise<void>;
};

/** A step answers whether there was anything for it to do. */
export type Step = (world: SimulatedWorld, chance: SeededChance) => Promise<boolean>;

/** What a process that dies between its commit and its answer looks like from outside. */
const DEATH = new Error('The process died after its commit.');

export async function createSimulatedWorld(seed: number, lasting: LastingStore): Promise<SimulatedWorld> {
  const chance = createSeededChance(seed);
  let isDoomed = false;
  const listen = () =>
    lasting.store().onEvents(() => {
      if (!isDoomed) return;
      isDoomed = false;
      throw DEATH;
    });
  listen();
  const clock = createFakeClock();
  const store = createCheckedStore(lasting.store, isDeath);
  const world: SimulatedWorld = {
    clock,
    store,
    hostile: chance.often(0.7),
    quiet: false,
    boot: 1,
    leases: 0,
    workers: Array.from({ length: 1 + chance.below(3) }, () => ({ stalled: false })),
    turns: [],
    orphans: [],
    echoes: [],
    poison: new Set(),
    was_killed: false,
    stopped_at: new Map(),
    dieAtCommit: () => {
      isDoomed = true;
    },
    async restart() {
      isDoomed = false;
      await lasting.reopen();
      listen();
    },
    async check() {
      await store.compare(clock.now());
      const problems = await lasting.problems();
      if (problems.length > 0) throw new Error(problems.join('; '));
    },
    dispose: () => lasting.dispose(),
  };
  for (let count = 1 + chance.below(3); count > 0; count--) await addBatch(world, chance);
  return world;
}

export function isDeath(error: unknown): boolean {
  return error === DEATH;
}

async function addBatch(world: SimulatedWorld, chance: SeededChance): Promise<void> {
  const items = chance.pick([0, 1, 3, 6, 10, 14]);
  const id = makeId('bat', world.clock.now(), chance.bytes(10));
  const fields = {
    id,
    concurrency: 1 + chance.below(5),
    open: chance.often(0.2),
    requires_approval: chance.often(0.1),
    policies: somePolicies(chance),
  };
  await world.store.create(makeBatch(fields), makeItems(items), { now: world.clock.now() });
  if (!world.hostile || items === 0 || chance.often(0.6)) return;
  for (let count = 1 + chance.below(2); count > 0; count--)
    world.poison.add(`${id}/${1 + chance.below(items)}`);
}

function somePolicies(chance: SeededChance): Policies {
  return {
    ...DEFAULT_POLICIES,
    max_attempts: 1 + chance.below(3),
    canary: chance.pick([null, null, null, { items: 1 }, { items: 3 }, { items: 3, min_pass_percent: 50 }]),
    failure_budget: chance.pick([null, null, { count: 2 }, { percent: 40, min_items: 4 }]),
    rate_limit: chance.pick([null, null, null, { items: 1 + chance.below(4), per_ms: 1_000 }]),
    recovery: chance.pick([null, null, 'resume', 'review']),
  };
}

/** Remembers after each step since when each batch stands still, for the rule that nothing starts a second later. */
export function noteStops({ store, clock, stopped_at }: SimulatedWorld): void {
  for (const id of store.ids()) {
    if (isActive(store.model(id).status)) stopped_at.delete(id);
    else if (!stopped_at.has(id)) stopped_at.set(id, clock.now());
  }
}
