import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** A disk of its own, in memory. */
export type SmallDisk = {
  readonly folder: string;
  freeBytes(): number;
  /** Takes room until no more than this is free. */
  fill(leave: number): void;
  /** Gives all of that back. */
  empty(): void;
};

/** Whether this machine lets us mount one: it takes root. */
export function canMount(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'sheaf-disk-'));
  try {
    mount(folder, 1);
    unmount(folder);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export function mountSmallDisk(megabytes: number): SmallDisk {
  const mounted = mkdtempSync(join(tmpdir(), 'sheaf-disk-'));
  mount(mounted, megabytes);
  onTestFinished(() => {
    unmount(mounted);
    rmSync(mounted, { recursive: true, force: true });
  });
  const folder = join(mounted, 'data');
  mkdirSync(folder);
  const filler = join(mounted, 'filler');
  const freeBytes = () => {
    const { bavail, bsize } = statfsSync(mounted);
    return bavail * bsize;
  };
  return {
    folder,
    freeBytes,
    fill(leave) {
      try {
        writeFileSync(filler, Buffer.alloc(Math.max(0, freeBytes() - leave), 1), { flag: 'a' });
      } catch (error) {
        // Somebody else took the last of it meanwhile: full is full.
        if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
      }
    },
    empty: () => rmSync(filler, { force: true }),
  };
}

function mount(folder: string, megabytes: number): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder], { stdio: 'ignore' });
}

function unmount(folder: string): void {
  execFileSync('umount', ['--lazy', folder], { stdio: 'ignore' });
}
