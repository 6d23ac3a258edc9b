import { setImmediate } from 'node:timers/promises';

const BAND_PIXELS = 1_000_000;

/**
 * Walks through pixels a band at a time and lets the process do other things in between.
 *
 * @param work Gets each band as offsets of bytes: from the first, to behind the last.
 * @throws The reason of the signal when it aborts.
 */
export async function inBands(
  length: number,
  channels: number,
  signal: AbortSignal | undefined,
  work: (from: number, to: number) => void,
): Promise<void> {
  const step = BAND_PIXELS * channels;
  for (let from = 0; from < length; from += step) {
    signal?.throwIfAborted();
    work(from, Math.min(length, from + step));
    await setImmediate();
  }
}
