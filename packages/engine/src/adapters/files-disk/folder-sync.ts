import { open } from 'node:fs/promises';

/**
 * Makes the names in a folder durable. Calls that come while one is being synced share the next:
 * a hundred files stored at once cost a few fsyncs of their folder, not a hundred.
 */
export function createFolderSync(): (folder: string) => Promise<void> {
  const folders = new Map<string, { running: Promise<void>; next: Promise<void> | null }>();

  return function syncFolder(folder) {
    const state = folders.get(folder);
    if (state === undefined) return start(folder);
    // The one that runs may have begun before the caller's rename.
    state.next ??= state.running.then(
      () => start(folder),
      () => start(folder),
    );
    return state.next;
  };

  function start(folder: string): Promise<void> {
    const running = fsyncFolder(folder);
    const state = { running, next: null };
    folders.set(folder, state);
    const end = () => {
      // A successor, if any, has put itself in place by then.
      if (folders.get(folder) === state && state.next === null) folders.delete(folder);
    };
    running.then(end, end);
    return running;
  }
}

async function fsyncFolder(folder: string): Promise<void> {
  // Windows cannot open folders, and keeps names in order by itself.
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
