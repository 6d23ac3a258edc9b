import { type Bench, type Figures, shareLine } from '../../bench.ts';
import { IN_FLIGHT } from '../../nothing.ts';
import { drainRate } from '../program.ts';
import { secondsOf } from '../remote.ts';
import { startWorkers, withCluster } from '../workers.ts';

/** Worker processes of every side. */
const WORKERS = 2;

/** What a cluster costs: work that takes no time, every commit synced, all on one PostgreSQL. */
export const clusterNoopBench: Bench = {
  name: 'cluster-noop',
  about: `items that do nothing in ${WORKERS} worker processes; raw and ours keep each result, pgboss one for all of a fetch, graphile none`,
  size: { full: 1_000_000, quick: 100_000 },
  rounds: { full: 3, quick: 2 },
  sides: {
    raw: async (run) => ({ rate: await drainRate({ ...run, module: 'raw-process.ts', workers: WORKERS }) }),
    graphile: async (run) => ({
      rate: await drainRate({ ...run, module: 'graphile-process.ts', workers: WORKERS }),
    }),
    pgboss: async (run) => ({
      rate: await drainRate({ ...run, module: 'pgboss-process.ts', workers: WORKERS }),
    }),
    ours: drainOurs,
  },
  judge: (median) =>
    [
      { side: 'raw', floor_percent: 70 },
      { side: 'graphile', floor_percent: 180 },
      { side: 'pgboss', floor_percent: 300 },
    ].map(({ side, floor_percent }) =>
      shareLine({
        label: 'cluster, noop',
        ours: median('ours', 'rate'),
        other: { name: side, rate: median(side, 'rate') },
        floor_percent,
      }),
    ),
};

async function drainOurs({ size, folder }: { size: number; folder: string }): Promise<Figures> {
  return withCluster(folder, async (cluster) => {
    const [first] = await startWorkers(cluster, WORKERS, IN_FLIGHT);
    const { id } = await first.call('fill', { size, concurrency: WORKERS * IN_FLIGHT });
    return { rate: size / secondsOf([await first.call('complete', { id })]) };
  });
}
