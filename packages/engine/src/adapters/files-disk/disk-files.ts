import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { lstat, mkdir, open, opendir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Readable, Transform } from 'node:stream';
import { SheafError } from '@sheaf/protocol';
import type { Files, StoredBytes } from '../../ports/files.ts';
import { diskError, systemCode } from './disk-errors.ts';
import { createFolderSync } from './folder-sync.ts';
import { hashFile, receive } from './receive.ts';

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

const SHA256 = /^[0-9a-f]{64}$/;
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
      if ((await sizeOf(space, sha256)) === null) throw missing(sha256);
      return { path: pathOf(space, sha256), release: async () => undefined };
    },

    async remove(space, sha256) {
      if (SHA256.test(sha256)) await rm(pathOf(space, sha256), { force: true });
    },

    async *list(space) {
      for await (const folder of entries(join(root, folderName(space)))) {
        if (!/^[0-9a-f]{2}$/.test(folder)) continue;
        for await (const sha256 of entries(join(root, folderName(space), folder))) {
          const bytes = await sizeOf(space, sha256);
          if (bytes !== null) yield { sha256, bytes };
        }
      }
    },
  };

  function pathOf(space: string, sha256: string): string {
    return join(root, folderName(space), sha256.slice(0, 2), sha256);
  }

  async function sizeOf(space: string, sha256: string): Promise<number | null> {
    if (!SHA256.test(sha256)) return null;
    try {
      return (await stat(pathOf(space, sha256))).size;
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return null;
      throw error;
    }
  }

  async function openBlob(space: string, sha256: string) {
    if (!SHA256.test(sha256)) throw missing(sha256);
    try {
      return await open(pathOf(space, sha256), 'r');
    } catch (error) {
      throw systemCode(error) === 'ENOENT' ? missing(sha256) : error;
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

/** A space as a folder name: odd characters are escaped, so that no space can name a path or another's folder. */
function folderName(space: string): string {
  const escaped = space.replace(
    /[^a-z0-9_-]/gu,
    (character) => `%${character.codePointAt(0)?.toString(16)}.`,
  );
  // Longer than a file system takes: its digest, which no escaped name looks like.
  return escaped.length > 0 && escaped.length <= 200
    ? escaped
    : `~${createHash('sha256').update(escaped).digest('hex')}`;
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

/** Holds the last chunk back until the sum is known, so that no reader takes damaged bytes for whole. */
function verified(source: Readable, sha256: string): Readable {
  const hash = createHash('sha256');
  let held: Buffer | null = null;
  const check = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      const before = held;
      held = chunk;
      done(null, before ?? undefined);
    },
    flush(done) {
      if (hash.digest('hex') === sha256) done(null, held ?? undefined);
      else done(new SheafError('internal', `The stored bytes of ${sha256} are damaged.`, { sha256 }));
    },
  });
  source.on('error', (error) => check.destroy(error));
  check.on('close', () => source.destroy());
  return source.pipe(check);
}

function missing(sha256: string): SheafError {
  return new SheafError('not_found', `No stored bytes have the sha256 ${sha256.slice(0, 64)}.`, { sha256 });
}
