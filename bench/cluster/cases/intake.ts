import { type Bench, shareLine } from '../../bench.ts';
import { IN_FLIGHT } from '../../nothing.ts';
import { fillRate } from '../program.ts';
import { startWorkers, withCluster } from '../workers.ts';

/** Putting items in, in bulk, from one process. */
export const clusterIntakeBench: Bench = {
  name: 'cluster-intake',
  about: 'items put into PostgreSQL in bulk, beside addJobs and a bare insert from arrays',
  size: { full: 500_000, quick: 100_000 },
  rounds: { full: 3, quick: 2 },
  sides: {
    raw: async (run) => ({ rate: await fillRate({ ...run, module: 'raw-process.ts' }) }),
    graphile: async (run) => ({ rate: await fillRate({ ...run, module: 'graphile-process.ts' }) }),
    ours: async ({ size, folder }) =>
      withCluster(folder, async (cluster) => {
        const [engine] = await startWorkers(cluster, 1, IN_FLIGHT);
        const { seconds } = await engine.call('fill', { size, concurrency: IN_FLIGHT });
        return { rate: size / seconds };
      }),
  },
  judge: (median) => [
    shareLine({
      label: 'cluster, intake',
      ours: median('ours', 'rate'),
      other: { name: 'graphile', rate: median('graphile', 'rate') },
      floor_percent: 200,
    }),
  ],
};
