import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { StoredBytes } from '../../ports/files.ts';
import { tooLarge } from '../stored-bytes.ts';

/** Writes a stream to a new file, which is not durable yet, and says what came. */
export async function receive(source: Readable, handle: FileHandle, maxBytes: number): Promise<StoredBytes> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const part of source) {
    const chunk: Uint8Array = typeof part === 'string' ? Buffer.from(part) : part;
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw tooLarge(maxBytes);
    hash.update(chunk);
    await handle.writeFile(chunk);
  }
  return { sha256: hash.digest('hex'), bytes };
}
