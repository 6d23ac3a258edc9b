import { randomUUID } from 'node:crypto';
import { createReadStream, lstatSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { type FileHandle, mkdir, open, opendir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { SheafError } from '@sheaf/protocol';
import type { Files, StoredBytes } from '../../ports/files.ts';
import { diskError, systemCode } from '../disk-errors.ts';
import { hashHandle } from '../hash-file.ts';
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
export function createDiskFiles({ verify = false, shared = false, ...options }: DiskFilesOptions): Files {
  const root = resolve(options.root);
  const incoming = join(root, '.tmp');
  const syncFolder = createFolderSync();
  const firstMade = mkdirSync(incoming, { recursive: true });
  /** Was there before us, so that its name lasts already. */
  const ground = firstMade === undefined ? root : dirname(firstMade);
  const device = statSync(incoming).dev;
  /** Folders whose own names are on disk, or on their way there. */
  const lasting = new Map<string, Promise<unknown>>();
  removeLeftovers(incoming, shared);

  return {
    async put(space, source, { max_bytes = Number.POSITIVE_INFINITY } = {}) {
      try {
        return await receiveIn(space, source, max_bytes);
      } catch (error) {
        source.destroy();
        throw diskError(error, root);
      }
    },

    async adopt(space, path) {
      try {
        // The system has just seen it written: a trip to another thread costs more than the answer.
        const found = lstatSync(path);
        if (!found.isFile()) throw new SheafError('invalid', `${path} is not a regular file.`);
        // Another name could still write to it, or it lies on another disk: then its bytes are copied.
        return found.nlink > 1 || found.dev !== device
          ? await copyIn(space, path)
          : await moveIn(space, path);
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

  async function receiveIn(space: string, source: Readable, maxBytes: number): Promise<StoredBytes> {
    const temporary = join(incoming, randomUUID());
    const handle = await open(temporary, 'wx', 0o600);
    try {
      const stored = await receive(source, handle, maxBytes);
      await place(space, temporary, handle, stored);
      return stored;
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined);
      throw error;
    } finally {
      await handle.close();
    }
  }

  async function moveIn(space: string, path: string): Promise<StoredBytes> {
    // Windows syncs only what may be written.
    const handle = await open(path, process.platform === 'win32' ? 'r+' : 'r');
    try {
      const stored = await hashHandle(handle, path);
      await place(space, path, handle, stored);
      return stored;
    } finally {
      await handle.close();
    }
  }

  async function copyIn(space: string, path: string): Promise<StoredBytes> {
    const source = createReadStream(path);
    try {
      const stored = await receiveIn(space, source, Number.POSITIVE_INFINITY);
      await rm(path);
      return stored;
    } finally {
      source.destroy();
    }
  }

  /** Moves complete bytes to their place and makes it last. */
  async function place(space: string, from: string, handle: FileHandle, stored: StoredBytes): Promise<void> {
    const target = pathOf(space, stored.sha256);
    const folder = dirname(target);
    if ((await sizeOf(space, stored.sha256)) === stored.bytes) {
      await rm(from, { force: true });
    } else {
      await handle.chmod(0o444);
      await handle.sync();
      await moveTo(from, target);
    }
    // For equal bytes too: whoever placed them may not have come this far.
    await Promise.all([syncFolder(folder), nameLasts(folder)]);
  }

  async function moveTo(from: string, target: string): Promise<void> {
    try {
      await rename(from, target);
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error;
      // The folder is missing: before the first file of its kind, and when somebody removed it.
      lasting.delete(dirname(target));
      await mkdir(dirname(target), { recursive: true });
      await rename(from, target);
    }
  }

  /**
   * A folder's name must last as well, in the one above it. Once in the life of a process, also when
   * the folder was there: who made it may be about to make its name last, or have died before.
   */
  function nameLasts(folder: string): Promise<unknown> {
    const known = lasting.get(folder);
    if (known !== undefined || folder === ground) return known ?? Promise.resolve();
    const above = dirname(folder);
    const synced = Promise.all([syncFolder(above), nameLasts(above)]);
    lasting.set(folder, synced);
    synced.catch(() => lasting.delete(folder));
    return synced;
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
