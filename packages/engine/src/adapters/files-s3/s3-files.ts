import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { lstat, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DeleteObjectCommand, paginateListObjectsV2 } from '@aws-sdk/client-s3';
import { SheafError } from '@sheaf/protocol';
import type { Files, StoredBytes } from '../../ports/files.ts';
import { diskError, systemCode } from '../disk-errors.ts';
import { hashFile } from '../hash-file.ts';
import { blobPath, isSha256, missingBytes, spaceFolder } from '../stored-bytes.ts';
import { openBucket, PART_BYTES, type S3Credentials } from './bucket.ts';
import { checkBucket } from './check-bucket.ts';
import { readObject } from './download.ts';
import { createLocalCopies } from './local-copies.ts';
import { createMemoryBudget } from './memory-budget.ts';
import { isMissing, s3Error } from './s3-errors.ts';
import { parseS3Url, resolveS3Place, type S3Place } from './s3-place.ts';
import { spool } from './spool.ts';
import { removeStaleUploads } from './stale-uploads.ts';
import { objectSize, putBytes, putFile, uploadMemoryBytes } from './upload.ts';

export type S3FilesOptions = {
  /** `s3://bucket/prefix?endpoint=…&region=…&path_style=true`, or its parts. */
  place: string | S3Place;
  /** @default What the environment, the profile or the machine's role says, as for every AWS program. */
  credentials?: S3Credentials;
  /**
   * Local folder of this process alone. Its `s3`, emptied at the start, holds what is being received
   * and copies that programs read: it needs room for the largest files on their way.
   *
   * @default a new one among the system's temporary folders
   */
  cache_dir?: string;
  /** Copies that nobody reads just now are kept up to this. @default 1 GiB */
  cache_bytes?: number;
  /** How long a request may take, or a body be silent, before it is tried again. @default 60_000 */
  timeout_ms?: number;
};

export type S3Files = Files & {
  /**
   * Tries all rights and the server's ways with a small object.
   *
   * @throws bad_config naming the missing right; store_unavailable when nobody answers.
   */
  checkBucket(): Promise<void>;
  removeStaleUploads(now: number): Promise<number>;
  /** Ends connections and removes local copies. */
  close(): Promise<void>;
};

/** What uploads hold in memory together; past it they go through the local disk, and wait. */
const MEMORY_BYTES = 8 * PART_BYTES;

/** All tries of a removal together: one that came later could remove what was stored anew. */
const REMOVE_MS = 30_000;

const CACHE_BYTES = 1024 ** 3;
const TIMEOUT_MS = 60_000;

/**
 * Files in an S3 bucket: `<prefix><space>/<first two digits>/<sha256>`, the layout of a disk folder.
 *
 * The sum names the place, and is known only at a stream's end. So a stream is taken in first (a
 * small one in memory, a large one in a local file) and sent to its final key then: nothing half
 * lies in the bucket, a source that breaks or is too large costs no request, what is there already
 * is not sent again, and every part can be sent twice. The other way, a temporary key and a copy
 * by the server, needs no local room, but makes the server write all bytes twice, ends at 5 GB a
 * copy, and leaves visible remains after a crash.
 *
 * @throws bad_config when the place cannot be one.
 */
export function createS3Files(options: S3FilesOptions): S3Files {
  const { place, credentials = null, cache_bytes = CACHE_BYTES, timeout_ms = TIMEOUT_MS } = options;
  const resolved = resolveS3Place(typeof place === 'string' ? parseS3Url(place) : place);
  const bucket = openBucket(resolved, { credentials, timeout_ms });
  const folder = emptyFolder(options.cache_dir);
  const budget = createMemoryBudget(MEMORY_BYTES);
  const copies = createLocalCopies({ folder, max_bytes: cache_bytes, read });

  return {
    async put(space, source, { max_bytes = Number.POSITIVE_INFINITY } = {}) {
      try {
        const spooled = await spool(source, { folder, max_bytes, budget });
        try {
          const { content, sha256, bytes } = spooled;
          if (content.kind === 'memory') await putBytes(bucket, keyOf(space, sha256), content.bytes, sha256);
          else await send(space, content.path, { sha256, bytes });
          return { sha256, bytes };
        } finally {
          await spooled.dispose();
        }
      } catch (error) {
        source.destroy();
        throw diskError(error, folder);
      }
    },

    async adopt(space, path) {
      try {
        const found = await lstat(path);
        if (!found.isFile()) throw new SheafError('invalid', `${path} is not a regular file.`);
        const stored = await hashFile(path);
        await send(space, path, stored);
        await rm(path);
        return stored;
      } catch (error) {
        if (systemCode(error) === 'ENOENT')
          throw new SheafError('not_found', `There is no file ${path}.`, {}, error);
        throw diskError(error, folder);
      }
    },

    open: read,

    size: async (space, sha256) => (isSha256(sha256) ? objectSize(bucket, keyOf(space, sha256)) : null),

    async local(space, sha256) {
      if (!isSha256(sha256)) throw missingBytes(sha256);
      return copies.lend(space, sha256);
    },

    async remove(space, sha256) {
      if (!isSha256(sha256)) return;
      await copies.forget(space, sha256);
      const abortSignal = AbortSignal.timeout(REMOVE_MS);
      try {
        const object = { Bucket: bucket.name, Key: keyOf(space, sha256) };
        await bucket.client.send(new DeleteObjectCommand(object), { abortSignal });
      } catch (error) {
        if (!isMissing(error)) throw s3Error(error, bucket, 's3:DeleteObject');
      }
    },

    async *list(space) {
      const Prefix = `${bucket.prefix}${spaceFolder(space)}/`;
      try {
        const pages = paginateListObjectsV2({ client: bucket.client }, { Bucket: bucket.name, Prefix });
        for await (const { Contents = [] } of pages) {
          for (const { Key = '', Size = 0 } of Contents) {
            const sha256 = Key.slice(-64);
            if (isSha256(sha256) && Key === keyOf(space, sha256)) yield { sha256, bytes: Size };
          }
        }
      } catch (error) {
        throw s3Error(error, bucket, 's3:ListBucket');
      }
    },

    checkBucket: () => checkBucket(bucket),
    removeStaleUploads: (now) => removeStaleUploads(bucket, now),

    async close() {
      bucket.client.destroy();
      await rm(folder, { recursive: true, force: true });
    },
  };

  function keyOf(space: string, sha256: string): string {
    return `${bucket.prefix}${blobPath(space, sha256)}`;
  }

  async function read(space: string, sha256: string, range?: { start: number; end: number }) {
    if (!isSha256(sha256)) throw missingBytes(sha256);
    return readObject(bucket, { key: keyOf(space, sha256), sha256, range });
  }

  async function send(space: string, path: string, stored: StoredBytes): Promise<void> {
    const give = await budget.take(uploadMemoryBytes(stored));
    try {
      await putFile(bucket, keyOf(space, stored.sha256), path, stored);
    } finally {
      give();
    }
  }
}

function emptyFolder(parent: string | undefined): string {
  if (parent === undefined) return mkdtempSync(join(tmpdir(), 'sheaf-s3-'));
  const folder = join(parent, 's3');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return folder;
}
