import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { errorCode } from '@sheaf/protocol';
import { diskError } from '../disk-errors.ts';
import { blobPath } from '../stored-bytes.ts';

/** Copies of stored bytes on the local disk, for programs that read files. */
export type LocalCopies = {
  /** A verified copy, downloaded once for all who want it at the same time. */
  lend(space: string, sha256: string): Promise<{ path: string; release: () => Promise<void> }>;
  /** Lends no copy of them again; who has one keeps it. */
  forget(space: string, sha256: string): Promise<void>;
};

type Copy = { path: string; bytes: number; users: number; ready: Promise<void> };

/** @param options.max_bytes Copies that nobody uses are kept up to this, the last used ones. */
export function createLocalCopies({
  folder,
  max_bytes,
  read,
}: {
  folder: string;
  max_bytes: number;
  read: (space: string, sha256: string) => Promise<Readable>;
}): LocalCopies {
  // In the order of their last use.
  const copies = new Map<string, Copy>();

  return {
    lend,
    async forget(space, sha256) {
      const key = blobPath(space, sha256);
      const copy = copies.get(key);
      if (copy === undefined) return;
      copies.delete(key);
      await drop(copy);
    },
  };

  async function lend(space: string, sha256: string): ReturnType<LocalCopies['lend']> {
    const key = blobPath(space, sha256);
    const known = copies.get(key);
    const copy = known ?? begin(key, space, sha256);
    copy.users += 1;
    try {
      await copy.ready;
    } catch (error) {
      if (copies.get(key) === copy) copies.delete(key);
      throw error;
    }
    if (known !== undefined && !(await isWhole(copy))) {
      if (copies.get(key) === copy) copies.delete(key);
      await release(key, copy);
      return lend(space, sha256);
    }
    if (copies.get(key) === copy) touch(key, copy);
    await trim();
    let isReleased = false;
    return {
      path: copy.path,
      async release() {
        if (isReleased) return;
        isReleased = true;
        await release(key, copy);
      },
    };
  }

  function begin(key: string, space: string, sha256: string): Copy {
    const path = join(folder, randomUUID());
    const copy: Copy = { path, bytes: 0, users: 0, ready: Promise.resolve() };
    copy.ready = download(space, sha256, path).then((bytes) => {
      copy.bytes = bytes;
    });
    copies.set(key, copy);
    return copy;
  }

  async function download(space: string, sha256: string, path: string): Promise<number> {
    for (let attempt = 1; ; attempt++) {
      try {
        const source = await read(space, sha256);
        await pipeline(source, createWriteStream(path, { flags: 'wx', mode: 0o400 }));
        return (await stat(path)).size;
      } catch (error) {
        await rm(path, { force: true }).catch(() => undefined);
        // Damaged on its way, or in the bucket: a second look tells.
        if (attempt === 1 && errorCode(error) === 'internal') continue;
        throw diskError(error, folder);
      }
    }
  }

  /** Somebody may clean up temporary folders, or write where it was asked not to. */
  async function isWhole({ path, bytes }: Copy): Promise<boolean> {
    return (await stat(path).catch(() => null))?.size === bytes;
  }

  async function release(key: string, copy: Copy): Promise<void> {
    copy.users -= 1;
    if (copies.get(key) === copy) await trim();
    else await drop(copy);
  }

  function touch(key: string, copy: Copy): void {
    copies.delete(key);
    copies.set(key, copy);
  }

  async function trim(): Promise<void> {
    let total = 0;
    for (const { bytes } of copies.values()) total += bytes;
    const excess: Copy[] = [];
    for (const [key, copy] of copies) {
      if (total <= max_bytes) break;
      if (copy.users > 0) continue;
      copies.delete(key);
      total -= copy.bytes;
      excess.push(copy);
    }
    await Promise.all(excess.map(drop));
  }

  async function drop(copy: Copy): Promise<void> {
    if (copy.users === 0) await rm(copy.path, { force: true }).catch(() => undefined);
  }
}
