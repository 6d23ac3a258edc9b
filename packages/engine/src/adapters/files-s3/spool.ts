import { createHash, randomUUID } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { StoredBytes } from '../../ports/files.ts';
import { tooLarge } from '../stored-bytes.ts';
import { PART_BYTES } from './bucket.ts';
import type { MemoryBudget } from './memory-budget.ts';

/** A stream that came in whole, in memory or as a local file, and waits to be sent on. */
export type Spooled = StoredBytes & {
  content: { kind: 'memory'; bytes: Buffer } | { kind: 'file'; path: string };
  dispose(): Promise<void>;
};

/** Takes in a stream: what is small stays in memory while there is some left, the rest goes to a file. */
export async function spool(
  source: Readable,
  { folder, max_bytes, budget }: { folder: string; max_bytes: number; budget: MemoryBudget },
): Promise<Spooled> {
  const hash = createHash('sha256');
  const path = join(folder, randomUUID());
  let bytes = 0;
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  let file: FileHandle | null = null;

  try {
    for await (const part of source) {
      const chunk: Uint8Array = typeof part === 'string' ? Buffer.from(part) : part;
      bytes += chunk.byteLength;
      if (bytes > max_bytes) throw tooLarge(max_bytes);
      hash.update(chunk);
      if (file === null && bytes <= PART_BYTES && budget.tryTake(chunk.byteLength)) {
        held.push(chunk);
        heldBytes += chunk.byteLength;
      } else {
        file ??= await spill();
        await file.writeFile(chunk);
      }
    }
    await file?.close();
  } catch (error) {
    await file?.close().catch(() => undefined);
    await dispose();
    throw error;
  }
  return {
    sha256: hash.digest('hex'),
    bytes,
    content: file === null ? { kind: 'memory', bytes: Buffer.concat(held) } : { kind: 'file', path },
    dispose,
  };

  async function spill(): Promise<FileHandle> {
    const handle = await open(path, 'wx', 0o600);
    file = handle;
    for (const chunk of held) await handle.writeFile(chunk);
    forget();
    return handle;
  }

  function forget(): void {
    budget.give(heldBytes);
    held = [];
    heldBytes = 0;
  }

  async function dispose(): Promise<void> {
    forget();
    if (file !== null) await rm(path, { force: true }).catch(() => undefined);
  }
}
