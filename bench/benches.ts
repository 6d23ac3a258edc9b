import type { Bench } from './bench.ts';

/** `embedded`: one process on SQLite. `cluster`: several processes on one PostgreSQL. */
export type Family = 'embedded' | 'cluster';

/** Loaded only when wanted: what the one needs would weigh on the memory of the other. */
export async function benchesOf(family: Family): Promise<readonly Bench[]> {
  if (family === 'cluster') return (await import('./cluster/index.ts')).CLUSTER_BENCHES;
  return (await import('./cases/index.ts')).BENCHES;
}
