import type { ColumnTypes } from '../dialect.ts';

/** A free range may leave out the completed items between its own; then it says how many its own are. */
export function sparseRanges({ integer }: ColumnTypes): string[] {
  return [`alter table range add column items ${integer}`];
}
