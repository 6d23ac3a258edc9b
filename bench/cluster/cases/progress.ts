import { type Bench, limitLine } from '../../bench.ts';
import { IN_FLIGHT } from '../../nothing.ts';
import { quantile } from '../../quantile.ts';
import { startWorkers, withCluster } from '../workers.ts';

const LOOKS = 500;

/** Looking at a batch costs the same however much else there is. */
export const clusterProgressBench: Bench = {
  name: 'cluster-progress',
  about: 'a look at one running batch among many; the size is that of all together',
  size: { full: 1_000_000, quick: 100_000 },
  rounds: { full: 1, quick: 1 },
  sides: {
    async ours({ size, folder }) {
      return withCluster(folder, async (cluster) => {
        await startWorkers(cluster, 1, IN_FLIGHT);
        const server = await cluster.engine({ concurrency: IN_FLIGHT, work: false });
        // As many batches as each has items: a thousand of a thousand.
        const items = Math.round(Math.sqrt(size));
        for (let batch = 1; batch < items; batch += 1) {
          await server.call('fill', { size: items, concurrency: IN_FLIGHT });
        }
        const { id } = await server.call('fillWaiting', {
          size: items,
          concurrency: IN_FLIGHT,
          input: { ms: 200 },
        });
        await server.call('start', { id });
        const times = await server.call('look', { id, times: LOOKS });
        await server.call('cancel', { id });
        return { p50_ms: quantile(times, 0.5), p99_ms: quantile(times, 0.99) };
      });
    },
  },
  judge: (median) => [
    limitLine({ label: 'progress among many, p50', value: median('ours', 'p50_ms'), limit: 5, unit: 'ms' }),
  ],
};
