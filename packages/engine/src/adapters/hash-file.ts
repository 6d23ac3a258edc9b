import { createHash } from 'node:crypto';
import { fstatSync, readSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { SheafError } from '@sheaf/protocol';
import type { StoredBytes } from '../ports/files.ts';

const CHUNK_BYTES = 256 * 1024;

/**
 * The sum of a local file.
 *
 * @throws invalid when it changes while it is read.
 */
export async function hashFile(path: string): Promise<StoredBytes> {
  const handle = await open(path, 'r');
  try {
    return await hashHandle(handle, path);
  } finally {
    await handle.close();
  }
}

/** Like `hashFile`, of a file that is open at its beginning. */
export async function hashHandle(handle: FileHandle, path: string): Promise<StoredBytes> {
  const hash = createHash('sha256');
  const before = fstatSync(handle.fd);
  const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, Math.max(1, before.size)));
  // A small file was written a moment ago and is in memory: trips to another thread would cost the most of it.
  const isSmall = before.size <= CHUNK_BYTES;
  let bytes = 0;
  while (bytes < before.size) {
    const count = isSmall ? readSync(handle.fd, buffer) : (await handle.read(buffer)).bytesRead;
    if (count === 0) break;
    hash.update(buffer.subarray(0, count));
    bytes += count;
  }
  const after = fstatSync(handle.fd);
  // A writer that was not waited for: the sum would not be that of what is stored in the end.
  if (bytes !== before.size || after.size !== before.size || after.mtimeMs !== before.mtimeMs) {
    throw stillWritten(path);
  }
  return { sha256: hash.digest('hex'), bytes };
}

/** A file that no longer is what its sum was taken of. */
export function stillWritten(path: string): SheafError {
  return new SheafError('invalid', `${path} was still being written; wait for the writer to end.`);
}
