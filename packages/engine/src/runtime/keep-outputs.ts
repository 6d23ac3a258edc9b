import { setTimeout as wait } from 'node:timers/promises';
import { errorCode, makeId } from '@sheaf/protocol';
import mime from 'mime';
import type { Chance, Clock } from '../ports/clock.ts';
import type { Files, StoredBytes } from '../ports/files.ts';
import type { OutputRow } from '../ports/leasing.ts';
import type { RunOutput } from '../ports/runner.ts';

/** Between two tries to store an output where there is no room for it. */
const ROOM_MS = 2_000;

type Outputs = { space: string; outputs: readonly RunOutput[]; signal: AbortSignal };

/**
 * Stores what an item made. While a place of the files that is not our own disk has no room, outputs wait
 * for it: what has run once need not run twice, and nobody is to blame.
 *
 * @throws what Files throws; storage_full when our own disk is full, or when the signal came before the room.
 */
export type KeepOutputs = (made: Outputs) => Promise<OutputRow[]>;

/** @param options.onNoRoom Told each time that the place of the files has no room. */
export function createKeepOutputs(options: {
  files: Files;
  clock: Clock;
  chance: Chance;
  /** Told of a full disk; answers whether it is ours: then the work is paused and what ran goes back. */
  onDiskFull(): Promise<boolean>;
  onNoRoom(error: unknown): void;
}): KeepOutputs {
  const { files, clock, chance } = options;
  let last: Promise<unknown> = Promise.resolve();

  async function adopt(space: string, path: string, signal: AbortSignal): Promise<StoredBytes> {
    try {
      return await files.adopt(space, path);
    } catch (error) {
      if (await isHopeless(error, signal)) throw error;
      const before = last;
      const { promise, resolve } = Promise.withResolvers<void>();
      last = promise;
      return await adoptInLine(space, path, { before, signal }).finally(resolve);
    }
  }

  /** One after the other: together they would take the room that is left from each other, and none would fit. */
  async function adoptInLine(
    space: string,
    path: string,
    { before, signal }: { before: Promise<unknown>; signal: AbortSignal },
  ): Promise<StoredBytes> {
    await Promise.race([before, aborted(signal)]);
    for (;;) {
      try {
        return await files.adopt(space, path);
      } catch (error) {
        if (await isHopeless(error, signal)) throw error;
        await wait(ROOM_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  async function isHopeless(error: unknown, signal: AbortSignal): Promise<boolean> {
    if (errorCode(error) !== 'storage_full' || signal.aborted || (await options.onDiskFull())) return true;
    options.onNoRoom(error);
    return false;
  }

  return async ({ space, outputs, signal }) => {
    const rows: OutputRow[] = [];
    for (const { name, path } of outputs) {
      const stored = await adopt(space, path, signal);
      const id = makeId('fil', clock.now(), chance.bytes(10));
      rows.push({ id, name, ...stored, media_type: mime.getType(name) ?? 'application/octet-stream' });
    }
    return rows;
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (signal.aborted) resolve();
  else signal.addEventListener('abort', () => resolve(), { once: true });
  return promise;
}
