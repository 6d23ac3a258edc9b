import { setTimeout as sleep } from 'node:timers/promises';
import { type Bench, type Figures, limitLine } from '../../bench.ts';
import { quantile } from '../../quantile.ts';
import type { ItemNews } from '../processors.ts';
import { type EngineProcess, startWorkers, withCluster } from '../workers.ts';

const WORKERS = 2;

/** Slots of each worker. */
const SLOTS = 8;

/** The large batch leaves this many of all slots free, or none. */
const FREE_SLOTS = 4;

const LARGE_ITEM_MS = 5;

const SMALL_ITEMS = 10;

/** The first ones are not counted: code and connections are cold. */
const WARM_UP = 2;

/** Small batches started, one after the other. */
const SAMPLES = 20;

/** How soon a small batch begins beside a large one. */
export const clusterLatencyBench: Bench = {
  name: 'cluster-latency',
  about: `from the answer to start until the first of ${SMALL_ITEMS} items begins, beside a large batch`,
  size: { full: 1_000_000, quick: 200_000 },
  rounds: { full: 2, quick: 1 },
  sides: {
    free: (run) => startSmallOnes({ ...run, width: WORKERS * SLOTS - FREE_SLOTS }),
    busy: (run) => startSmallOnes({ ...run, width: WORKERS * SLOTS }),
  },
  judge: (median) => [
    limitLine({
      label: 'first item, a slot free, p95',
      value: median('free', 'p95_ms'),
      limit: 100,
      unit: 'ms',
    }),
    limitLine({
      label: 'first item, all busy, p95',
      value: median('busy', 'p95_ms'),
      limit: 1_500,
      unit: 'ms',
    }),
  ],
};

async function startSmallOnes(run: { size: number; folder: string; width: number }): Promise<Figures> {
  return withCluster(run.folder, async (cluster) => {
    const workers = await startWorkers(cluster, WORKERS, SLOTS);
    const server = await cluster.engine({ concurrency: SLOTS, work: false });
    const firstItems = listenForFirstItems(workers);
    const large = await server.call('fillWaiting', {
      size: run.size,
      concurrency: run.width,
      input: { ms: LARGE_ITEM_MS },
    });
    await server.call('start', { id: large.id });
    await sleep(2_000);
    const times: number[] = [];
    for (let sample = 1; sample <= WARM_UP + SAMPLES; sample += 1) {
      times.push(await startSmall(server, firstItems));
    }
    const counted = times.slice(WARM_UP);
    await server.call('stillRuns', { id: large.id });
    await server.call('cancel', { id: large.id });
    return {
      p50_ms: quantile(counted, 0.5),
      p95_ms: quantile(counted, 0.95),
      worst_ms: Math.max(...counted),
    };
  });
}

/** Milliseconds until the first item of a small batch began; it may do so before `start` has answered. */
async function startSmall(server: EngineProcess, firstItems: FirstItems): Promise<number> {
  const { id } = await server.call('fillWaiting', {
    size: SMALL_ITEMS,
    concurrency: SMALL_ITEMS,
    input: { ms: 1, told: true },
  });
  await sleep(Math.random() * 300); // or every start would meet the same moment of the others' turns
  const startedAt = await server.call('start', { id });
  await server.call('waitFor', { id });
  return Math.max(0, firstItems.of(id) - startedAt);
}

type FirstItems = { of(batch: string): number };

function listenForFirstItems(workers: readonly EngineProcess[]): FirstItems {
  const first = new Map<string, number>();
  for (const worker of workers) {
    worker.onNews((news) => {
      const { batch_id, what, at } = news as ItemNews; // nothing else is told
      if (what === 'begun') first.set(batch_id, Math.min(at, first.get(batch_id) ?? at));
    });
  }
  return {
    of(batch) {
      const at = first.get(batch);
      if (at === undefined) throw new Error(`No item of ${batch} began.`);
      return at;
    },
  };
}
