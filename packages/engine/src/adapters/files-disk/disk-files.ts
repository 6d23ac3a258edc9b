import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { lstat, mkdir, open, opendir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SheafError } from '@sheaf/protocol';
import type { Files, StoredBytes } from '../../ports/files.ts';
import { diskError, systemCode } from '../disk-errors.ts';
import { hashFile } from '../hash-file.ts';
import { blobPath, isSha256, missingBytes, spaceFolder, verified } from '../stored-bytes.ts';
import { createFolderSync } from './folder-sync.ts';
import { receive } from './receive.ts';

export type DiskFilesOptions = {
  /** Folder of the bytes; made when missing. Its `.tmp` holds what is being received. */
  root: string;
  /**
   * Checks the sha256 of every file that is read whole: a damaged one ends its stream with an error
   * in place of its last bytes. Costs about a second a gigabyte.
   *
   * @default false
   */
  verify?: boolean;
  /**
   * Whether other processes write to the folder too. Then leftovers of broken uploads are removed
   * after a day, else at once.
   *
   * @default false
   */
  shared?: boolean;
};

const DAY_MS = 86_400_000;

/**
 * Files in a folder: `<root>/<space>/<first two digits>/<sha256>`, read-only, written aside and
 * renamed into place. Storing costs an fsync of the file and a shared one of its folder.
 */
export function createDiskFiles({ root, verify = false, shared = false }: DiskFilesOptions): Files {
  const incoming = join(root, '.tmp');
  const syncFolder = createFolderSync();
  mkdirSync(incoming, { recursive: true });
  removeLeftovers(incoming, shared);

  return {
    async put(space, source, options = {}) {
      const temporary = join(incoming, randomUUID());
      try {
        const stored = await receive(source, temporary, options.max_bytes ?? Number.POSITIVE_INFINITY);
        await place(space, temporary, stored);
        return stored;
      } catch (error) {
        source.destroy();
        await rm(temporary, { force: true }).catch(() => undefined);
        throw diskError(error, root);
      }
    },

    async adopt(space, path) {
      try {
        const found = await lstat(path);
        if (!found.isFile()) throw new SheafError('invalid', `${path} is not a regular file.`);
        // Another name could still write to it, or it lies on another disk: then its bytes are copied.
        if (found.nlink > 1 || found.dev !== (await stat(incoming)).dev) return await copyIn(space, path);
        const stored = await hashFile(path);
        await place(space, path, stored);
        return stored;
      } catch (error) {
        if (systemCode(error) === 'ENOENT')
          throw new SheafError('not_found', `There is no file ${path}.`, {}, error);
        throw diskError(error, root);
      }
    },

    async open(space, sha256, range) {
      const handle = await openBlob(space, sha256);
      const stream = handle.createReadStream(
        range === undefined ? {} : { start: range.start, end: range.end },
      );
      return verify && range === undefined ? verified(stream, sha256) : stream;
    },

    size: sizeOf,

    async local(space, sha256) {
      if ((await sizeOf(space, sha256)) === null) throw missingBytes(sha256);
      return { path: pathOf(space, sha256), release: async () => undefined };
    },

    async remove(space, sha256) {
      if (isSha256(sha256)) await rm(pathOf(space, sha256), { force: true });
    },

    async *list(space) {
      for await (const folder of entries(join(root, spaceFolder(space)))) {
        if (!/^[0-9a-f]{2}$/.test(folder)) continue;
        for await (const sha256 of entries(join(root, spaceFolder(space), folder))) {
          const bytes = await sizeOf(space, sha256);
          if (bytes !== null) yield { sha256, bytes };
        }
      }
    },
  };

  function pathOf(space: string, sha256: string): string {
    return join(root, blobPath(space, sha256));
  }

  async function sizeOf(space: string, sha256: string): Promise<number | null> {
    if (!isSha256(sha256)) return null;
    try {
      return (await stat(pathOf(space, sha256))).size;
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return null;
      throw error;
    }
  }

  async function openBlob(space: string, sha256: string) {
    if (!isSha256(sha256)) throw missingBytes(sha256);
    try {
      return await open(pathOf(space, sha256), 'r');
    } catch (error) {
      throw systemCode(error) === 'ENOENT' ? missingBytes(sha256) : error;
    }
  }

  /** Moves complete bytes to their place and makes it last. */
  async function place(space: string, from: string, { sha256, bytes }: StoredBytes): Promise<void> {
    const target = pathOf(space, sha256);
    const folder = dirname(target);
    if ((await sizeOf(space, sha256)) === bytes) {
      await rm(from, { force: true });
    } else {
      await fsyncFile(from);
      await makeFolder(folder);
      await rename(from, target);
    }
    // For equal bytes too: whoever placed them may not have come this far.
    await syncFolder(folder);
  }

  async function makeFolder(folder: string): Promise<void> {
    const first = await mkdir(folder, { recursive: true });
    if (first === undefined) return;
    // The new folders' own names must last as well, each in the one above it.
    for (let made = folder; made.length >= first.length; made = dirname(made))
      await syncFolder(dirname(made));
  }

  async function copyIn(space: string, path: string): Promise<StoredBytes> {
    const temporary = join(incoming, randomUUID());
    const source = await open(path, 'r');
    try {
      const stored = await receive(source.createReadStream(), temporary, Number.POSITIVE_INFINITY);
      await place(space, temporary, stored);
      await rm(path);
      return stored;
    } finally {
      await rm(temporary, { force: true }).catch(() => undefined);
    }
  }
}

async function fsyncFile(path: string): Promise<void> {
  // Windows syncs only what may be written.
  const handle = await open(path, process.platform === 'win32' ? 'r+' : 'r');
  try {
    await handle.chmod(0o444);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function removeLeftovers(incoming: string, shared: boolean): void {
  const before = shared ? Date.now() - DAY_MS : Number.POSITIVE_INFINITY;
  for (const name of readdirSync(incoming)) {
    const path = join(incoming, name);
    // Another process may have finished or removed it meanwhile.
    const touched = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Number.POSITIVE_INFINITY;
    if (touched < before) rmSync(path, { recursive: true, force: true });
  }
}

async function* entries(folder: string): AsyncGenerator<string> {
  try {
    for await (const { name } of await opendir(folder)) yield name;
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}
