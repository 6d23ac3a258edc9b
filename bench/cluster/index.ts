import type { Bench } from '../bench.ts';
import { clusterIntakeBench } from './cases/intake.ts';
import { clusterLatencyBench } from './cases/latency.ts';
import { clusterNoopBench } from './cases/noop.ts';
import { clusterProgressBench } from './cases/progress.ts';
import { clusterRecoveryBench } from './cases/recovery.ts';
import { clusterScalingBench } from './cases/scaling.ts';

/** Several processes on one PostgreSQL: `npm run bench -- --cluster`. */
export const CLUSTER_BENCHES: readonly Bench[] = [
  clusterNoopBench,
  clusterIntakeBench,
  clusterScalingBench,
  clusterLatencyBench,
  clusterProgressBench,
  clusterRecoveryBench,
];
