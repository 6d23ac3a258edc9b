/** Bytes that all uploads together may hold in memory. */
export type MemoryBudget = {
  /** Takes bytes if there are some left at once. */
  tryTake(bytes: number): boolean;
  /** Takes bytes when there are, in the order of the calls. More than there will ever be counts as all. */
  take(bytes: number): Promise<() => void>;
  give(bytes: number): void;
};

export function createMemoryBudget(totalBytes: number): MemoryBudget {
  let left = totalBytes;
  const waiting: { bytes: number; resolve: () => void }[] = [];

  function give(bytes: number): void {
    left += bytes;
    for (let first = waiting[0]; first !== undefined && first.bytes <= left; first = waiting[0]) {
      waiting.shift();
      left -= first.bytes;
      first.resolve();
    }
  }

  function tryTake(bytes: number): boolean {
    if (waiting.length > 0 || bytes > left) return false;
    left -= bytes;
    return true;
  }

  return {
    tryTake,
    give,
    async take(wanted) {
      const bytes = Math.min(wanted, totalBytes);
      if (!tryTake(bytes)) await new Promise<void>((resolve) => waiting.push({ bytes, resolve }));
      return () => give(bytes);
    },
  };
}
