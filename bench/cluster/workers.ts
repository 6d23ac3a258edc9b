import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { EngineActions } from './engine-process.ts';
import { withPostgres } from './postgres.ts';
import { type Remote, startRemote } from './remote.ts';

export type EngineProcess = Remote<EngineActions>;

/** A database with engines on it, each in its own process and folder; their files lie together. */
export type Cluster = {
  url: string;
  /** Adds an engine. One that does not work only looks and steers, as a server beside workers does. */
  engine(options: { concurrency: number; work?: boolean }): Promise<EngineProcess>;
};

/** Opens an empty cluster for `body`, and closes all of it afterwards. */
export async function withCluster<Answer>(
  folder: string,
  body: (cluster: Cluster) => Promise<Answer>,
): Promise<Answer> {
  return withPostgres(folder, async (url) => {
    const engines: EngineProcess[] = [];
    try {
      const answer = await body({
        url,
        async engine({ concurrency, work = true }) {
          const engine = startRemote<EngineActions>('engine-process.ts');
          engines.push(engine);
          const dataDir = join(folder, `engine-${engines.length}`);
          const files = join(folder, 'files');
          mkdirSync(files, { recursive: true });
          await engine.call('open', { database: url, data_dir: dataDir, files, concurrency, work });
          return engine;
        },
      });
      await Promise.all(engines.filter((one) => one.isAlive()).map((one) => one.call('close', {})));
      return answer;
    } finally {
      await Promise.all(engines.map((one) => one.close()));
    }
  });
}

/** That many workers, at least one, with so many slots each. */
export async function startWorkers(
  cluster: Cluster,
  count: number,
  concurrency: number,
): Promise<[EngineProcess, ...EngineProcess[]]> {
  const first = await cluster.engine({ concurrency });
  const others = Array.from({ length: count - 1 }, () => cluster.engine({ concurrency }));
  return [first, ...(await Promise.all(others))];
}
