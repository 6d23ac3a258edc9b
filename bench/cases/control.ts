import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openSqliteStore } from '../../packages/engine/src/adapters/store-sql/sqlite.ts';
import { defineProcessor, type Engine, type Processor } from '../../packages/engine/src/index.ts';
import { DEFAULT_POLICIES } from '../../packages/protocol/src/index.ts';
import { openBareDatabase } from '../bare-database.ts';
import { type Bench, type Figures, type Line, limitLine } from '../bench.ts';
import { IN_FLIGHT } from '../nothing.ts';
import { quantile } from '../quantile.ts';
import { fill, openEngine } from '../work.ts';

const SMALL = 10_000;

/** Rounds of calls on a running batch, and batches they are made on. */
const ROUNDS = 40;
const BATCHES = 3;

/** Moves of the Store itself, one after the other, and those before the clock starts: code is cold at first. */
const MOVES = 500;
const WARM_UP_MOVES = 500;

/** The size of a batch may make a call this much slower, which is what one run differs from the next by. */
const NOISE = 1.5;

/** Keeps its slot a while, so that a small batch still runs when the last call is made. */
const waiting = defineProcessor({
  name: 'bench.waiting',
  isolation: 'inline',
  run: () => sleep(5),
}) as unknown as Processor; // the engine knows no input types

/** Steering a batch costs the same whatever its size, and never waits for the work. */
export const controlBench: Bench = {
  name: 'control',
  about: 'start, pause, resume, cancel, priority and status of a running batch, small and large',
  size: { full: 1_000_000, quick: 200_000 },
  rounds: { full: 2, quick: 1 },
  sides: {
    calls: steerBatches,
    store: ({ folder }) => moveInStore(folder),
  },
  judge: (median) => [
    limitLine({ label: 'control, p99', value: median('calls', 'p99_ms'), limit: 50, unit: 'ms' }),
    sameLine(median('calls', 'small_p50_ms'), median('calls', 'large_p50_ms')),
    diskLine(median('store', 'p50_ms'), median('store', 'bare_p50_ms')),
  ],
};

function sameLine(small: number, large: number): Line {
  return {
    label: 'control, p50, large batch',
    ours: `${large.toFixed(2)} ms`,
    against: `small ${small.toFixed(2)} ms`,
    floor: `< ${NOISE} ×`,
    ok: large < small * NOISE,
  };
}

/** On a disk that takes longer than this by itself, what we add to it counts. */
function diskLine(ours: number, bare: number): Line {
  return {
    label: 'change of status on disk, p50',
    ours: `${ours.toFixed(2)} ms`,
    against: `bare commit ${bare.toFixed(2)} ms`,
    floor: '< 1 ms or 1.5 ×',
    ok: ours < Math.max(1, bare * 1.5),
  };
}

/** The times of each call by its name. */
type Times = Record<string, number[]>;

async function steerBatches({ folder, size }: { folder: string; size: number }): Promise<Figures> {
  const engine = await openEngine(folder, [waiting]);
  const small: Times = {};
  const large: Times = {};
  for (let n = 1; n <= BATCHES; n += 1) {
    await steer(engine, SMALL, small);
    await steer(engine, size, large);
  }
  await engine.close();
  const medians = Object.entries(large).map(([name, list]) => [`${name}_ms`, quantile(list, 0.5)]);
  return {
    small_p50_ms: quantile(Object.values(small).flat(), 0.5),
    large_p50_ms: quantile(Object.values(large).flat(), 0.5),
    p99_ms: quantile([...Object.values(small), ...Object.values(large)].flat(), 0.99),
    ...Object.fromEntries(medians),
  };
}

async function steer(engine: Engine, size: number, times: Times): Promise<void> {
  const id = await fill(engine, waiting.name, size);
  const target = { batch_id: id };
  const timed = async (name: string, act: () => Promise<unknown>) => {
    const from = performance.now();
    await act();
    times[name] = [...(times[name] ?? []), performance.now() - from];
  };
  await timed('start', () => engine.start(target));
  for (let round = 1; round <= ROUNDS; round += 1) {
    await sleep(10);
    await timed('status', () => engine.get(target));
    await timed('priority', () => engine.update({ ...target, fields: { priority: round % 10 } }));
    await timed('pause', () => engine.pause(target));
    await timed('resume', () => engine.resume(target));
  }
  const { status, completed_items: completed } = await engine.get(target);
  if (completed === 0 || (status !== 'running' && status !== 'queued')) {
    throw new Error(`The batch is ${status} with ${completed} items done; it should still run.`);
  }
  await timed('cancel', () => engine.cancel(target));
}

/** What the disk and the database take of it: pause and resume, each on disk when it answers. */
async function moveInStore(folder: string): Promise<Figures> {
  const store = await openSqliteStore({ file: join(folder, 'sheaf.db') });
  const act = () => ({ space: 'default', batch_id: 'bat_bench', by: 'bench', now: Date.now() });
  await store.create(
    {
      id: 'bat_bench',
      space: 'default',
      name: null,
      description: '',
      processor: waiting.name,
      processor_version: waiting.version,
      pool: waiting.pool,
      config: {},
      template_id: null,
      customer_prefix: null,
      session_id: null,
      labels: {},
      metadata: {},
      external_ids: {},
      concurrency: IN_FLIGHT,
      priority: 5,
      policies: DEFAULT_POLICIES,
      requires_approval: false,
      open: false,
      created_by: 'bench',
    },
    [{ name: null, key: null, input: null, file_id: null }],
    { now: Date.now() },
  );
  await store.start(act());
  const bare = openBareDatabase(folder);
  const update = bare.prepare('update batch set next_seq = next_seq + 1 where no = 1');
  const times: number[] = [];
  const bareTimes: number[] = [];
  for (let move = 1; move <= WARM_UP_MOVES + MOVES; move += 1) {
    const from = performance.now();
    if (move % 2 === 1) await store.pause({ ...act(), reason: 'user', mode: 'drain' });
    else await store.resume(act());
    const between = performance.now();
    update.run();
    if (move <= WARM_UP_MOVES) continue;
    times.push(between - from);
    bareTimes.push(performance.now() - between);
  }
  await store.close();
  return {
    p50_ms: quantile(times, 0.5),
    p99_ms: quantile(times, 0.99),
    bare_p50_ms: quantile(bareTimes, 0.5),
  };
}
