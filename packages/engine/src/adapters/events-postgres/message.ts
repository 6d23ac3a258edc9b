/**
 * What one process tells the others of a batch: never what happened, that is read from the Store.
 * `first` is the number of its first new event, 0 for none; `progress` whether its counters moved;
 * `ended` the seqs of some items that ended.
 */
export type BatchNews = { batch_id: string; first: number; progress: boolean; ended: number[] };

/** One NOTIFY. `lost` names spaces with more news than could be told. */
export type Message = { boot: string; lost: string[]; spaces: Record<string, BatchNews[]> };

export function writeMessage({ boot, lost, spaces }: Message): string {
  const short = Object.entries(spaces).map(([space, batches]) => [
    space,
    batches.map(({ batch_id, first, progress, ended }) => [batch_id, first, progress ? 1 : 0, ...ended]),
  ]);
  return JSON.stringify({ boot, lost, spaces: Object.fromEntries(short) });
}

/** Null for what is not ours: anybody may speak on a channel. */
export function readMessage(payload: string): Message | null {
  try {
    const { boot, lost, spaces } = JSON.parse(payload);
    const long = Object.entries(spaces as Record<string, unknown[][]>).map(([space, batches]) => [
      space,
      batches.map(([id, first, progress, ...ended]) => ({
        batch_id: String(id),
        first: Number(first),
        progress: progress === 1,
        ended: ended.map(Number),
      })),
    ]);
    return { boot: String(boot), lost: [...lost].map(String), spaces: Object.fromEntries(long) };
  } catch {
    return null;
  }
}

export function bytesOf(text: string): number {
  return Buffer.byteLength(text);
}
