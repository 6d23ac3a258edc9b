import type { Bench, Figures, Line } from '../../bench.ts';
import { rate } from '../../bench.ts';
import { secondsOf } from '../remote.ts';
import { startWorkers, withCluster } from '../workers.ts';

const WORKERS = [1, 2, 4, 8];

/** Slots of each worker. */
const SLOTS = 16;

const ITEM_MS = 50;

/** Eight processes that compile their code at once are busy with nothing else: workers that run for days are not. */
const WARM_UP_SECONDS = 5;

const NEEDED_PERCENT = 95;

/** More workers do more: items that wait, so that the machine is not what limits. */
export const clusterScalingBench: Bench = {
  name: 'cluster-scaling',
  about: `items of ${ITEM_MS} ms, ${SLOTS} slots a worker; the size is the seconds it would ideally take`,
  size: { full: 30, quick: 4 },
  rounds: { full: 2, quick: 1 },
  sides: Object.fromEntries(WORKERS.map((workers) => [`${workers}`, (run) => scale({ ...run, workers })])),
  judge: (median) => WORKERS.map((workers) => scalingLine(workers, median(`${workers}`, 'rate'))),
};

function idealOf(workers: number): number {
  return (workers * SLOTS * 1000) / ITEM_MS;
}

function scalingLine(workers: number, reached: number): Line {
  const percent = (reached / idealOf(workers)) * 100;
  return {
    label: `cluster, ${workers} worker${workers === 1 ? '' : 's'}`,
    ours: `${rate(reached)}/s`,
    against: `ideal ${rate(idealOf(workers))}/s: ${percent.toFixed(1)} %`,
    floor: `${NEEDED_PERCENT} %`,
    ok: percent >= NEEDED_PERCENT,
  };
}

async function scale({
  size: seconds,
  folder,
  workers,
}: {
  size: number;
  folder: string;
  workers: number;
}): Promise<Figures> {
  return withCluster(folder, async (cluster) => {
    const [first] = await startWorkers(cluster, workers, SLOTS);
    const concurrency = workers * SLOTS;
    const secondsFor = async (size: number) => {
      const { id } = await first.call('fillWaiting', { size, concurrency, input: { ms: ITEM_MS } });
      return secondsOf([await first.call('complete', { id })]);
    };
    await secondsFor(idealOf(workers) * WARM_UP_SECONDS);
    const size = idealOf(workers) * seconds;
    return { rate: size / (await secondsFor(size)) };
  });
}
