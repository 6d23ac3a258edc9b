import { DEFAULT_POLICIES, type Policies } from '@sheaf/protocol';
import fc from 'fast-check';
import { describe, it } from 'vitest';
import type { Lease, LeasedItem, Outcome } from '../../src/ports/leasing.ts';
import { type CheckedStore, createCheckedStore } from '../../src/testing/checked-store.ts';
import {
  createFakeClock,
  type FakeClock,
  type LastingStore,
  makeBatch,
  makeItems,
  makeOutcome,
} from '../../src/testing/index.ts';

/**
 * Commands hold plain numbers, which pick among what there is when the command runs: any list of
 * commands can be run, so that a failing one shrinks to a short one.
 */
type Command =
  | { do: 'lease'; width: number; limit: number; idle: boolean }
  | { do: 'record'; lease: number; fates: Fate[]; more: number; width: number }
  | { do: 'recordLate'; lease: number; fates: Fate[] }
  | { do: 'release' | 'renew'; lease: number }
  | { do: 'append'; count: number }
  | { do: 'remove'; seq: number }
  | { do: 'retry'; seqs: number[] }
  | RetryAll
  | { do: 'pause'; mode: 'drain' | 'now' }
  | { do: 'start' | 'approve' | 'resume' | 'cancel' | 'seal' | 'recover' | 'sweep' }
  | { do: 'concurrency'; value: number }
  | { do: 'tick'; ms: number };

type RetryAll = { do: 'retryAll'; status: ('failed' | 'cancelled')[] | null };
type Fate = { pick: number; status: Outcome['status']; in_ms: number };

const small = fc.integer({ min: 0, max: 12 });
const slots = fc.integer({ min: 1, max: 4 });
const fate: fc.Arbitrary<Fate> = fc.record({
  pick: small,
  status: fc.constantFrom('completed', 'completed', 'failed', 'retry'),
  in_ms: fc.constantFrom(0, 0, 500, 2_000),
});
const fates = fc.array(fate, { maxLength: 6 });
const statuses = [null, ['failed'], ['cancelled'], ['failed', 'cancelled']] satisfies RetryAll['status'][];

const is = <const Name extends string>(...names: Name[]) => fc.constantFrom(...names);
const often = <T extends Command>(weight: number, fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) => ({
  weight,
  arbitrary: fc.record(fields) as unknown as fc.Arbitrary<Command>, // a record of a command's fields is one
});

const command = fc.oneof(
  often(6, { do: is('lease'), width: slots, limit: fc.integer({ min: 1, max: 8 }), idle: fc.boolean() }),
  often(8, { do: is('record'), lease: small, fates, more: fc.constantFrom(0, 0, 1, 5), width: slots }),
  often(1, { do: is('recordLate'), lease: small, fates }),
  often(2, { do: is('release', 'renew'), lease: small }),
  often(1, { do: is('append'), count: fc.integer({ min: 1, max: 4 }) }),
  often(2, { do: is('remove'), seq: small }),
  often(2, { do: is('retry'), seqs: fc.array(small, { minLength: 1, maxLength: 3 }) }),
  often(1, { do: is('retryAll'), status: fc.constantFrom(...statuses) }),
  often(1, { do: is('pause'), mode: is('drain', 'now') }),
  often(2, { do: is('resume') }),
  often(2, { do: is('start', 'approve', 'cancel', 'seal', 'recover', 'sweep') }),
  often(1, { do: is('concurrency'), value: fc.integer({ min: 1, max: 6 }) }),
  often(3, { do: is('tick'), ms: fc.constantFrom(100, 1_000, 2_000, 7_000) }),
);

const policies: fc.Arbitrary<Policies> = fc.record({
  ...Object.fromEntries(Object.entries(DEFAULT_POLICIES).map(([name, value]) => [name, fc.constant(value)])),
  max_attempts: fc.integer({ min: 1, max: 3 }),
  canary: fc.constantFrom(null, null, { items: 1 }, { items: 3 }, { items: 3, min_pass_percent: 60 }),
  failure_budget: fc.constantFrom(null, null, { count: 2 }, { percent: 50, min_items: 3 }),
  recovery: fc.constantFrom(null, 'resume', 'review'),
}) as fc.Arbitrary<Policies>; // every field of the defaults is in it

type NewWorld = {
  items: number;
  concurrency: number;
  open: boolean;
  requires_approval: boolean;
  policies: Policies;
};

const world: fc.Arbitrary<NewWorld> = fc.record({
  items: fc.integer({ min: 0, max: 9 }),
  concurrency: fc.integer({ min: 1, max: 5 }),
  open: fc.boolean(),
  requires_approval: fc.constantFrom(false, false, true),
  policies,
});

type World = {
  store: CheckedStore;
  clock: FakeClock;
  id: string;
  leases: Held[];
  tokens: number;
  boot: number;
};
/** A lease as its turn knows it; the Store may have taken it away long ago. */
type Held = Pick<Lease, 'token' | 'width'> & { items: LeasedItem[] };

async function run(world: World, command: Command): Promise<void> {
  const { store, clock, id, leases } = world;
  const now = clock.now();
  const act = { space: 'default', batch_id: id, now, by: 'tester' };
  const at = <T>(list: readonly T[], index: number): T | undefined => list[index % Math.max(1, list.length)];
  const seqs = [...store.model(id).items.keys()];
  switch (command.do) {
    case 'lease': {
      const { width, limit, idle } = command;
      const token = `token-${++world.tokens}`;
      const boot = `boot-${world.boot}`;
      const answer = await store.lease({ token, batch_id: id, worker: 'w', boot, width, limit, idle, now });
      if ('lease' in answer) leases.push(answer.lease);
      return;
    }
    case 'record':
    case 'recordLate': {
      const lease = at(leases, command.lease);
      if (lease === undefined) return;
      const outcomes = command.fates.flatMap((fate) => outcomeOf(lease, fate, now));
      const { more, width } = command.do === 'record' ? command : { more: 0, width: lease.width };
      const [answer] = await store.record([{ token: lease.token, batch_id: id, outcomes, more, width }], now);
      if (answer === undefined || command.do === 'recordLate') return;
      lease.items = [
        ...lease.items.filter(({ seq }) => !outcomes.some((outcome) => outcome.seq === seq)),
        ...answer.items,
      ];
      return;
    }
    case 'release': {
      const lease = at(leases, command.lease);
      return store.release(lease === undefined ? ['unknown'] : [lease.token], now);
    }
    case 'renew':
      await store.renew(
        leases.map(({ token }) => token),
        now,
      );
      return;
    case 'append':
      await store.act.append(act, makeItems(command.count));
      return;
    case 'remove':
      await store.act.removeItem({ ...act, seq: at(seqs, command.seq) ?? 99 });
      return;
    case 'retry': {
      const items = command.seqs.map((index) => at(seqs, index) ?? 99);
      // Whether one that is just due still waits for its retry is the Store's own business.
      const isDue = (seq: number) => {
        const readyAt = store.model(id).items.get(seq)?.work?.ready_at ?? 0;
        return readyAt > 0 && readyAt <= now;
      };
      if (!items.some(isDue)) await store.act.retry({ ...act, items });
      return;
    }
    case 'retryAll':
      await store.act.retry(command.status === null ? act : { ...act, status: command.status });
      return;
    case 'pause':
      await store.act.pause({ ...act, reason: 'user', mode: command.mode });
      return;
    case 'recover':
      world.boot += 1;
      await store.recover({ boot: `boot-${world.boot}`, alone: true, review: [], policy: null, now });
      return;
    case 'sweep':
      await store.sweep(now);
      return;
    case 'concurrency':
      await store.act.setConcurrency({ ...act, concurrency: command.value });
      return;
    case 'tick':
      clock.advance(command.ms);
      return;
    default:
      await store.act[command.do](act);
  }
}

function outcomeOf(lease: Held, { pick, status, in_ms }: Fate, now: number): Outcome[] {
  const item = lease.items[pick % Math.max(1, lease.items.length)];
  if (item === undefined) return [];
  // The runtime never asks for another attempt after the last one.
  const fits = status === 'retry' && item.attempt >= item.last_attempt ? 'failed' : status;
  return [makeOutcome(item, { status: fits, ready_at: now + in_ms })];
}

/**
 * Asks a Store and a model of single items the same things, whatever comes to mind, and compares them.
 *
 * RANGE_RUNS=2000 looks longer; RANGE_SEED, which a failure names, looks at the same again.
 *
 * @param options.open An empty store.
 * @param options.runs How many lists of commands are tried, as long as `limit_ms` is not over.
 */
export function rangesTest(
  store: string,
  { open, runs, limit_ms }: { open: () => Promise<LastingStore>; runs: number; limit_ms: number },
): void {
  describe('ranges against a model of single items', () => {
    it(`${store} agrees with the model whatever is asked of it`, { timeout: 600_000 }, async () => {
      const { RANGE_RUNS, RANGE_SEED } = process.env;
      const bounds =
        RANGE_RUNS === undefined
          ? { numRuns: runs, interruptAfterTimeLimit: limit_ms }
          : { numRuns: Number(RANGE_RUNS) };
      const seed = Number(RANGE_SEED ?? Date.now() & 0xffff);
      const commands = fc.array(command, { minLength: 1, maxLength: 60, size: 'max' });
      const property = fc.asyncProperty(world, commands, (options, commands) =>
        agree(open, options, commands),
      );
      await fc.assert(property, { ...bounds, seed });
    });
  });
}

async function agree(
  open: () => Promise<LastingStore>,
  { items, ...fields }: NewWorld,
  commands: readonly Command[],
): Promise<void> {
  const lasting = await open();
  try {
    const clock = createFakeClock();
    const store = createCheckedStore(lasting.store);
    const { batch } = await store.create(makeBatch(fields), makeItems(items), { now: clock.now() });
    const world: World = { store, clock, id: batch.id, leases: [], tokens: 0, boot: 1 };
    for (const command of [{ do: 'start' as const }, ...commands]) {
      await run(world, command);
      await store.compare(clock.now());
      const problems = await lasting.problems();
      if (problems.length > 0) throw new Error(problems.join('\n'));
    }
  } finally {
    await lasting.dispose();
  }
}
