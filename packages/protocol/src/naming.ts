/**
 * The customer that file names speak of: their leading words in capitals. `PL_DXB_image.png` says
 * `PL_DXB`, `holiday.jpg` says nothing.
 */
export const CUSTOMER_PATTERN = /^([A-Z][A-Z0-9]*(?:_[A-Z][A-Z0-9]*)*)_/;

/**
 * The prefix most of the names share, or null when most have none.
 *
 * @param names A sample of the batch's item names; the first thousand are enough.
 */
export function customerPrefix(names: Iterable<string>, pattern: RegExp = CUSTOMER_PATTERN): string | null {
  const counts = new Map<string | null, number>();
  for (const name of names) {
    const prefix = pattern.exec(name)?.[1] ?? null;
    counts.set(prefix, (counts.get(prefix) ?? 0) + 1);
  }
  const [best] = [...counts].sort(([, a], [, b]) => b - a);
  return best?.[0] ?? null;
}

/**
 * The directory a batch is handed back in: `PL_DXB_2026-11-05_batch-1`.
 *
 * @param counter Counts the batches of one space, prefix and day; the Store never gives one twice.
 */
export function baseDirectoryName(prefix: string | null, date: string, counter: number): string {
  return `${prefix === null ? '' : `${prefix}_`}${date}_batch-${counter}`;
}

/** The UTC day of a moment, `2026-11-05`. */
export function batchDate(at: number): string {
  return new Date(at).toISOString().slice(0, 10);
}
