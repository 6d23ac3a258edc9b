/** Items handed to a child together take about this long. */
const ROW_MS = 5;
const MAX_ROW = 64;

/** How much the newest of fast items tells of those to come. */
const SHARE_OF_NEWEST = 0.1;

/**
 * How many items a slot should get at once: several when they take less time than the message that
 * brings them, else one. A slow item shortens the rows at once, fast ones lengthen them by and by.
 *
 * @param options.isSingle Never more than one.
 */
export function createRowLength({ isSingle }: { isSingle: boolean }): {
  /** The most items a slot should get now. */
  readonly most: number;
  ended(durationMs: number): void;
} {
  let usual = Number.POSITIVE_INFINITY;
  return {
    get most() {
      return isSingle ? 1 : Math.max(1, Math.min(MAX_ROW, Math.floor(ROW_MS / usual)));
    },
    ended(durationMs) {
      const took = Math.max(durationMs, 0.01);
      const isSlow = took >= ROW_MS || !Number.isFinite(usual);
      usual = isSlow ? took : usual + (took - usual) * SHARE_OF_NEWEST;
    },
  };
}

/**
 * The next row of a queue: items of one config.
 *
 * @param options.slots How many share what is left, so that none has a row while others are idle.
 */
export function rowFrom<Item extends { config_no: number }>(
  queue: readonly Item[],
  from: number,
  { most, slots }: { most: number; slots: number },
): Item[] {
  const longest = Math.min(most, Math.ceil((queue.length - from) / Math.max(1, slots)));
  let end = from + 1;
  while (end < from + longest && queue[end]?.config_no === queue[from]?.config_no) end += 1;
  return queue.slice(from, end);
}
