import { join } from 'node:path';
import { createLocalDispatch } from '../adapters/dispatch-local/local-dispatch.ts';
import { createLocalEvents } from '../adapters/events-local/local-events.ts';
import { openThreadedSqliteStore } from '../adapters/store-sql/threaded.ts';
import type { ResolvedOptions } from '../options.ts';
import type { Store } from '../ports/store.ts';
import type { Deployment, DeploymentOptions } from './deployment.ts';
import { openFiles } from './files.ts';

/** Everything in one process and one folder: SQLite with files beside it, turns and news in memory. */
export async function openEmbedded(options: ResolvedOptions, place: DeploymentOptions): Promise<Deployment> {
  const { folder, opened } = place;
  const { files } = await openFiles(options, place, { isShared: false });
  const store = await openStore(join(folder, 'sheaf.db'), options.work);
  opened.defer(() => store.close());
  return {
    store,
    dispatch: createLocalDispatch(),
    files,
    events: createLocalEvents(),
    clock: { now: () => Date.now() },
    isShared: false,
  };
}

/**
 * With threads of its own where items run: a slow disk must not hold up their heartbeats. Who only
 * looks has none to hold up, and would wait for two threads to start.
 */
async function openStore(file: string, work: boolean): Promise<Store> {
  if (work) return await openThreadedSqliteStore({ file });
  // Imported here: else it would be loaded in vain beside the threads, which load their own.
  const { openSqliteStore } = await import('../adapters/store-sql/sqlite.ts');
  return await openSqliteStore({ file });
}
