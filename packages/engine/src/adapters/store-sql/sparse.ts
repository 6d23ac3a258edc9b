import { RETRY_PRIORITY } from '@sheaf/protocol/words';
import { type RawBuilder, sql } from 'kysely';
import type { Db } from './dialect.ts';
import { HULL_STRETCH } from './hull.ts';
import { IS_COVERED } from './is-covered.ts';
import type { BatchRow, Write } from './session.ts';
import type { RangeTable } from './tables.ts';

/** Items of a sparse range: few enough that to lease some of them counts through no long stretch. */
const SPARSE_ITEMS = 1_000;

/**
 * Frees scattered items as a few ranges that leave out what lies between: a hundred thousand items are a
 * hundred rows. Legal only where nothing but these items can come to be done, since all others of the
 * batch are completed, and where all of them have made the same number of attempts.
 *
 * @param chosen A select of their `seq`.
 * @returns How many of them lie so far apart that their ranges would be too long; those it has left out.
 */
export async function insertSparse(
  { db }: Write,
  row: BatchRow,
  range: Pick<RangeTable, 'attempt' | 'last_attempt' | 'config_no'>,
  { chosen, count }: { chosen: RawBuilder<unknown>; count: number },
): Promise<number> {
  const { rows } = await sql<{ items: number }>`
    insert into range (batch_no, from_seq, to_seq, attempt, last_attempt, crashes, priority, ready_at, token,
      config_no, items)
    select ${row.no}, min(seq), max(seq), ${range.attempt}, ${range.last_attempt}, 0, ${RETRY_PRIORITY}, 0, null,
      ${range.config_no}, nullif(count(*), max(seq) - min(seq) + 1)
    from ${inParts(chosen)} group by part having max(seq) - min(seq) < count(*) * ${HULL_STRETCH}
    returning coalesce(items, to_seq - from_seq + 1) as items`.execute(db);
  return count - rows.reduce((sum, { items }) => sum + items, 0);
}

/** Those that `insertSparse` has left out: `seq` and `attempt`. */
export function tooFarApart(chosen: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`select seq, attempt from (
    select seq, attempt, min(seq) over w as first, max(seq) over w as last, count(*) over w as items
    from ${inParts(chosen)} window w as (partition by part)) far where last - first >= items * ${HULL_STRETCH}`;
}

function inParts(chosen: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`(select seq, attempt, (row_number() over (order by seq) - 1) / ${sql.lit(SPARSE_ITEMS)} as part
    from (${chosen}) chosen) parts`;
}

/** How far the first `limit` items of a sparse range reach that holds more, and with which item the rest begins. */
export async function reach(
  db: Db,
  range: Pick<RangeTable, 'batch_no' | 'from_seq' | 'to_seq'> & { id: number },
  limit: number,
): Promise<{ to_seq: number; rest_from: number }> {
  // The range is joined for its attempt: a number would let the planner look through all attempts there are.
  const { rows } = await sql<{ seq: number }>`select i.seq from item i join range r on r.id = ${range.id}
    where i.batch_no = ${range.batch_no} and i.seq between ${range.from_seq} and ${range.to_seq} and ${IS_COVERED}
    order by i.seq limit 2 offset ${limit - 1}`.execute(db);
  const [last, next] = rows;
  if (last === undefined || next === undefined)
    throw new Error('A sparse range holds fewer items than it says.');
  return { to_seq: last.seq, rest_from: next.seq };
}
