import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { SheafError } from '@sheaf/protocol';
import type { StoredBytes } from '../ports/files.ts';

/**
 * The sum of a local file.
 *
 * @throws invalid when it changes while it is read.
 */
export async function hashFile(path: string): Promise<StoredBytes> {
  const hash = createHash('sha256');
  const handle = await open(path, 'r');
  try {
    const before = await handle.stat();
    let bytes = 0;
    for await (const chunk of handle.createReadStream({ autoClose: false, highWaterMark: 262_144 })) {
      bytes += chunk.length;
      hash.update(chunk);
    }
    const after = await handle.stat();
    // A writer that was not waited for: the sum would not be that of what is stored in the end.
    if (bytes !== before.size || after.size !== before.size || after.mtimeMs !== before.mtimeMs) {
      throw stillWritten(path);
    }
    return { sha256: hash.digest('hex'), bytes };
  } finally {
    await handle.close();
  }
}

/** A file that no longer is what its sum was taken of. */
export function stillWritten(path: string): SheafError {
  return new SheafError('invalid', `${path} was still being written; wait for the writer to end.`);
}
