import { type RawBuilder, sql } from 'kysely';
import type { Db } from './dialect.ts';
import type { BatchRow } from './session.ts';
import type { StampedRange } from './stamp.ts';

/** Fewer ranges than this are as cheap one by one. */
const SCATTERED_FROM = 4;

/** A hull may be this many times as long as what it holds: its items are found by walking it. */
export const HULL_STRETCH = 20;

/** One range instead of many, and the number of items that it holds. */
export type Hull = { count: number; range: StampedRange };

type Sums = StampedRange & { ranges: number; items: number | null; is_uniform: number };

/**
 * The one range that stands, in the hands of a lease, for the first of the scattered ones that hold `limit`
 * items together; null where they must stay as they are. What a lease covers is told by the items in its ranges
 * that have no outcome, so a hull says the same as its parts as long as no other such item lies in it, or
 * can come to lie in it: nothing else waits or runs there, and nothing failed, skipped or cancelled could be
 * sent back to work.
 *
 * @param kind The condition that all of the ranges meet.
 */
export async function findHull(
  db: Db,
  batch: BatchRow,
  { kind, limit, end }: { kind: RawBuilder<unknown>; limit: number; end: number },
): Promise<Hull | null> {
  if (batch.failed_items + batch.skipped_items + batch.cancelled_items > 0) return null;
  const { rows } = await sql<Sums>`
    select count(*) as ranges, max(upto) as items, min(from_seq) as from_seq, max(to_seq) as to_seq,
      min(attempt) as attempt, min(last_attempt) as last_attempt, min(priority) as priority, min(config_no) as config_no,
      case when count(items) = 0 and min(attempt) = max(attempt) and min(last_attempt) = max(last_attempt) and min(config_no) = max(config_no)
        then 1 else 0 end as is_uniform
    from (select from_seq, to_seq, attempt, last_attempt, priority, config_no, items,
        sum(to_seq - from_seq + 1) over (order by from_seq) as upto
      from (select * from range where ${kind} order by from_seq limit ${limit}) first_ones) summed
    where upto <= ${limit} and to_seq <= ${end}`.execute(db);
  const [sums] = rows;
  if (sums === undefined || sums.ranges < SCATTERED_FROM || sums.is_uniform === 0) return null;
  const { ranges, items, is_uniform: _, ...range } = sums;
  const count = Number(items);
  if (range.to_seq - range.from_seq + 1 > count * HULL_STRETCH) return null;
  return (await isApart(db, batch, range, ranges)) ? { count, range } : null;
}

async function isApart(
  db: Db,
  batch: BatchRow,
  { from_seq, to_seq }: StampedRange,
  parts: number,
): Promise<boolean> {
  const { rows } = await sql<{ inside: number; across: number }>`select
      (select count(*) from range where batch_no = ${batch.no}
        and from_seq between ${from_seq} and ${to_seq}) as inside,
      (select count(*) from lease l join range r on r.token = l.token where l.batch_no = ${batch.no}
        and r.from_seq < ${from_seq} and r.to_seq >= ${from_seq}) as across`.execute(db);
  return rows[0]?.inside === parts && rows[0].across === 0;
}
