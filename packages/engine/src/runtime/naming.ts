import { setTimeout } from 'node:timers/promises';
import { SheafError } from '@sheaf/protocol';
import { type DoomedBytes, doomedBytesOf } from '../domain/doomed-bytes.ts';
import type { BlobRef, Files, RemovedBlob } from '../ports/files.ts';

/** Removals take moments. Only after the death of a process there is nobody who ends them so soon. */
export const PATIENCE_MS = 10_000;
const LOOK_AGAIN_MS = 100;

/** What became of bytes that could not be named because they were being removed. */
export type Fate = { confirmed: RemovedBlob[]; lost: BlobRef[] };

/**
 * Names stored bytes. If equal ones were being removed meanwhile, it is named once more when that is
 * over and these have turned out to be there.
 *
 * @throws store_unavailable when they are not.
 */
export async function nameStored<T>(
  files: Files,
  name: (known: { confirmed: readonly RemovedBlob[] }) => Promise<T>,
): Promise<T> {
  const confirmed: RemovedBlob[] = [];
  for (const until = performance.now() + PATIENCE_MS; ; ) {
    try {
      return await name({ confirmed });
    } catch (error) {
      const doomed = doomedBytesOf(error);
      if (doomed === null) throw error;
      const fate = await fateOf(files, doomed, performance.now() < until);
      if (fate.lost.length > 0) {
        throw new SheafError(
          'store_unavailable',
          'Equal bytes, which nothing named any more, were just being removed; send them again.',
          {},
          error,
        );
      }
      confirmed.push(...fate.confirmed);
    }
  }
}

/**
 * Looks whether bytes are there that were removed, and gives those time whose removal goes on.
 *
 * @param mayWait Else those that are still being removed count as lost.
 */
export async function fateOf(
  files: Files,
  { claimed, removed }: DoomedBytes,
  mayWait: boolean,
): Promise<Fate> {
  const fate: Fate = { confirmed: [], lost: mayWait ? [] : [...claimed] };
  for (const blob of removed) {
    // What cannot be looked at is not there, either.
    const isThere = (await files.size(blob.space, blob.sha256).catch(() => null)) !== null;
    if (isThere) fate.confirmed.push(blob);
    else fate.lost.push(blob);
  }
  if (mayWait && claimed.length > 0) await setTimeout(LOOK_AGAIN_MS);
  return fate;
}
