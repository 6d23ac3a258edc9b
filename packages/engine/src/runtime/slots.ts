/** How many items this process runs at the same time, over all batches. */
export type Slots = {
  readonly total: number;
  readonly free: number;
  /** Takes up to `wanted` slots at once and answers how many. */
  take(wanted: number): number;
  giveBack(count: number): void;
  /** Resolves when a slot is free. Nothing is reserved: take it in the same tick. */
  available(): Promise<void>;
  /** Resolves when all are free: no handler runs, and nobody is about to start one. */
  idle(): Promise<void>;
};

export function createSlots(total: number): Slots {
  let free = total;
  let waiting: (() => void)[] = [];
  const change = () => new Promise<void>((resolve) => waiting.push(resolve));
  return {
    total,
    get free() {
      return free;
    },
    take(wanted) {
      const taken = Math.max(0, Math.min(wanted, free));
      free -= taken;
      return taken;
    },
    giveBack(count) {
      free += count;
      if (count <= 0) return;
      const woken = waiting;
      waiting = [];
      for (const wake of woken) wake();
    },
    async available() {
      while (free <= 0) await change();
    },
    async idle() {
      while (free < total) await change();
    },
  };
}
