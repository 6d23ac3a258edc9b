import { setTimeout as sleep } from 'node:timers/promises';
import { type Bench, type Figures, limitLine } from '../../bench.ts';
import type { ItemNews } from '../processors.ts';
import { moment } from '../remote.ts';
import { type EngineProcess, startWorkers, withCluster } from '../workers.ts';

const SLOTS = 8;

const ITEM_MS = 500;

/** How long both workers work before one is killed. */
const BEFORE_MS = 3_000;

/** After that it is not late, but lost. */
const LOST_MS = 60_000;

/** A worker that dies takes its items along only for seconds. */
export const clusterRecoveryBench: Bench = {
  name: 'cluster-recovery',
  about: 'kill -9 of a worker until one of the items it had begun runs again; the size is the items',
  size: { full: 2_000, quick: 2_000 },
  rounds: { full: 3, quick: 1 },
  sides: { ours: killOne },
  judge: (median) => [
    limitLine({ label: 'items of a killed worker', value: median('ours', 'seconds'), limit: 10, unit: 's' }),
  ],
};

async function killOne({ size, folder }: { size: number; folder: string }): Promise<Figures> {
  return withCluster(folder, async (cluster) => {
    const [victim, survivor] = await startWorkers(cluster, 2, SLOTS);
    const server = await cluster.engine({ concurrency: SLOTS, work: false });
    if (survivor === undefined) throw new Error('There is no second worker.');
    const begun = itemsBegun(victim);
    const { id } = await server.call('fillWaiting', {
      size,
      concurrency: 2 * SLOTS,
      input: { ms: ITEM_MS, told: true },
    });
    await server.call('start', { id });
    await sleep(BEFORE_MS);
    if (begun.size === 0) throw new Error('The victim has nothing to lose.');
    const again = firstOf(survivor, begun);
    const killedAt = moment();
    await victim.kill();
    const seconds = ((await again) - killedAt) / 1000;
    await server.call('cancel', { id });
    return { seconds };
  });
}

/** The items that this worker is at. */
function itemsBegun(worker: EngineProcess): Set<number> {
  const begun = new Set<number>();
  worker.onNews((news) => {
    const { seq, what } = news as ItemNews; // nothing else is told
    if (what === 'begun') begun.add(seq);
    else begun.delete(seq);
  });
  return begun;
}

/** When this worker begins one of these items. */
function firstOf(worker: EngineProcess, items: ReadonlySet<number>): Promise<number> {
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => reject(new Error(`Not one ran again in ${LOST_MS} ms.`)), LOST_MS);
    worker.onNews((news) => {
      const { seq, what, at } = news as ItemNews; // nothing else is told
      if (what !== 'begun' || !items.has(seq)) return;
      clearTimeout(limit);
      resolve(at);
    });
  });
}
