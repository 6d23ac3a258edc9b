import type { SheafEvent } from '@sheaf/protocol';
import { cleanProgress } from '../../domain/attempt-notes.ts';

/**
 * What one process tells the others of a batch: never what happened, that is read from the Store.
 * `first` is the number of its first new event, 0 for none; `progress` whether its counters moved;
 * `ended` the seqs of some items that ended.
 */
export type BatchNews = { batch_id: string; first: number; progress: boolean; ended: number[] };

/** What an item is at. The Store does not know it, so the words themselves are told. */
export type ItemStep = { space: string; event: Extract<SheafEvent, { type: 'item_progress' }> };

/** One NOTIFY. `lost` names spaces with more news than could be told. */
export type Message = {
  boot: string;
  lost: string[];
  spaces: Record<string, BatchNews[]>;
  steps: ItemStep[];
};

export function writeMessage({ boot, lost, spaces, steps }: Message): string {
  const short = Object.entries(spaces).map(([space, batches]) => [
    space,
    batches.map(({ batch_id, first, progress, ended }) => [batch_id, first, progress ? 1 : 0, ...ended]),
  ]);
  return JSON.stringify({ boot, lost, spaces: Object.fromEntries(short), steps: steps.map(shortStep) });
}

/** Null for what is not ours: anybody may speak on a channel. */
export function readMessage(payload: string): Message | null {
  try {
    const { boot, lost, spaces, steps } = JSON.parse(payload);
    const long = Object.entries(spaces as Record<string, unknown[][]>).map(([space, batches]) => [
      space,
      batches.map(([id, first, progress, ...ended]) => ({
        batch_id: String(id),
        first: Number(first),
        progress: progress === 1,
        ended: ended.map(Number),
      })),
    ]);
    return {
      boot: String(boot),
      lost: [...lost].map(String),
      spaces: Object.fromEntries(long),
      steps: readSteps(steps),
    };
  } catch {
    return null;
  }
}

/** As it stands in a message. */
export function shortStep({ space, event: { batch_id, seq, step, percent } }: ItemStep): unknown[] {
  return [space, batch_id, seq, step, percent];
}

/** Releases before this one tell none. What is not understood takes nothing else of the message with it. */
function readSteps(steps: unknown): ItemStep[] {
  if (!Array.isArray(steps)) return [];
  return steps.filter(Array.isArray).flatMap(([space, id, seq, step, percent]: unknown[]) => {
    if (typeof space !== 'string' || typeof id !== 'string') return [];
    if (typeof seq !== 'number' || typeof step !== 'string') return [];
    const progress = cleanProgress(step, percent);
    return [{ space, event: { type: 'item_progress', batch_id: id, seq, ...progress } }];
  });
}

export function bytesOf(text: string): number {
  return Buffer.byteLength(text);
}
