import { open, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode, SheafError } from '@sheaf/protocol';
import type { Clock } from '../ports/clock.ts';
import type { Store } from '../ports/store.ts';
import { every } from './timers.ts';

/** Room kept for the moment when there is none: enough to record what runs and to pause the rest. */
const BALLAST_BYTES = 32 * 1024 * 1024;

/** Work goes on when the ballast fits again and this much beside it. */
const HEALED_BYTES = 64 * 1024 * 1024;

/** Fewer free inodes than this are as good as none. */
const LEAST_INODES = 64;

const CHECK_MS = 2_000;

/** Watches over a full disk: frees the ballast, pauses the work, and goes on by itself when there is room. */
export type DiskGuard = {
  /** Called when a write met a full disk. Afterwards there is a little room, and nothing new starts. */
  onFull(): Promise<void>;
  /** Whether it is this disk that is full. Then the work is paused, as after `onFull`. */
  isFullAfterAll(): Promise<boolean>;
  /** @throws storage_full while the disk is full: the last room is for what runs already. */
  refuseWhenFull(): void;
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
  let isFull = false;
  let mustPause = false;
  // What an earlier process paused goes on as well.
  let mustResume = true;
  let freeing: Promise<void> | null = null;
  const checks = every(CHECK_MS, check, options.onError);
  await checks.nudge();

  async function free(): Promise<void> {
    if (!isFull) options.onError(fullDisk());
    isFull = true;
    mustPause = true;
    mustResume = true;
    await rm(ballast, { force: true });
    await pause();
  }

  async function pause(): Promise<void> {
    try {
      await store.pauseAll({ reason: 'disk_full', now: clock.now() });
      mustPause = false;
    } catch (error) {
      // No room even for that: the next check tries again, and until then every write is refused anyway.
      if (errorCode(error) !== 'storage_full') throw error;
    }
  }

  async function check(): Promise<void> {
    if (mustPause) await pause();
    const hasRoom = (await keepBallast(ballast, data_dir)) && (await freeBytes(data_dir)) >= HEALED_BYTES;
    if (!hasRoom || mustPause) return;
    isFull = false;
    if (!mustResume) return;
    const resumed = await store.resumeAll({ reason: 'disk_full', now: clock.now() });
    mustResume = false;
    if (resumed.length > 0) await options.onResumed();
  }

  const guard: DiskGuard = {
    async onFull() {
      freeing ??= free().finally(() => {
        freeing = null;
      });
      await freeing;
    },
    async isFullAfterAll() {
      if ((await freeBytes(data_dir)) >= HEALED_BYTES) return false;
      await guard.onFull();
      return true;
    },
    refuseWhenFull() {
      if (isFull) throw fullDisk();
    },
    close: () => checks.stop(),
  };
  return guard;
}

function fullDisk(): SheafError {
  return new SheafError('storage_full', 'The disk is full; make room and work goes on by itself.');
}

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize, files, ffree } = await statfs(folder);
  return files > 0 && ffree < LEAST_INODES ? 0 : bavail * bsize;
}

/** Writes the ballast for real: a file with holes would hold no room. Answers whether it is there. */
async function keepBallast(path: string, folder: string): Promise<boolean> {
  const known = await stat(path).catch(() => null);
  if (known !== null && known.size >= BALLAST_BYTES) return true;
  if ((await freeBytes(folder)) < HEALED_BYTES + BALLAST_BYTES) return false;
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
