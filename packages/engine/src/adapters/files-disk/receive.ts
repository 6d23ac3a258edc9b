import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { StoredBytes } from '../../ports/files.ts';
import { tooLarge } from '../stored-bytes.ts';

/** Writes a stream to a new file, which is not durable yet, and says what came. */
export async function receive(source: Readable, path: string, maxBytes: number): Promise<StoredBytes> {
  const hash = createHash('sha256');
  const handle = await open(path, 'wx', 0o600);
  let bytes = 0;
  try {
    for await (const part of source) {
      const chunk: Uint8Array = typeof part === 'string' ? Buffer.from(part) : part;
      bytes += chunk.byteLength;
      if (bytes > maxBytes) throw tooLarge(maxBytes);
      hash.update(chunk);
      await handle.writeFile(chunk);
    }
  } finally {
    await handle.close();
  }
  return { sha256: hash.digest('hex'), bytes };
}
