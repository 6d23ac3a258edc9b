import { open, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../ports/clock.ts';
import type { Store } from '../ports/store.ts';
import { every } from './timers.ts';

/** Room kept for the moment when there is none: enough to record what runs and to pause the rest. */
const BALLAST_BYTES = 32 * 1024 * 1024;

/** Work goes on when the ballast fits again and this much beside it. */
const HEALED_BYTES = 64 * 1024 * 1024;

const CHECK_MS = 2_000;

/** Watches over a full disk: frees the ballast, pauses the work, and goes on by itself when there is room. */
export type DiskGuard = {
  /** Called when a write met a full disk. Afterwards there is a little room, and nothing new starts. */
  onFull(): Promise<void>;
  close(): Promise<void>;
};

export async function startDiskGuard(options: {
  store: Store;
  clock: Clock;
  data_dir: string;
  onResumed: () => Promise<void>;
  onError: (error: unknown) => void;
}): Promise<DiskGuard> {
  const { store, clock, data_dir } = options;
  const ballast = join(data_dir, 'ballast');
  let isFull = !(await keepBallast(ballast, data_dir));
  const checks = every(CHECK_MS, heal, options.onError);
  let freeing: Promise<void> | null = null;

  async function free(): Promise<void> {
    isFull = true;
    await rm(ballast, { force: true });
    await store.pauseAll({ reason: 'disk_full', now: clock.now() });
  }

  async function heal(): Promise<void> {
    if (!isFull || (await freeBytes(data_dir)) < HEALED_BYTES + BALLAST_BYTES) return;
    if (!(await keepBallast(ballast, data_dir))) return;
    isFull = false;
    await store.resumeAll({ reason: 'disk_full', now: clock.now() });
    await options.onResumed();
  }

  return {
    async onFull() {
      freeing ??= free().finally(() => {
        freeing = null;
      });
      await freeing;
    },
    close: () => checks.stop(),
  };
}

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** Writes the ballast for real: a file with holes would hold no room. Answers whether it is there. */
async function keepBallast(path: string, folder: string): Promise<boolean> {
  const known = await stat(path).catch(() => null);
  if (known !== null && known.size >= BALLAST_BYTES) return true;
  if ((await freeBytes(folder)) < 2 * BALLAST_BYTES) return false;
  const file = await open(path, 'w');
  try {
    const block = Buffer.alloc(1024 * 1024, 1);
    for (let written = 0; written < BALLAST_BYTES; written += block.length) await file.write(block);
    await file.sync();
    return true;
  } catch {
    await rm(path, { force: true });
    return false;
  } finally {
    await file.close();
  }
}
