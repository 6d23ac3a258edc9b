import { type RawBuilder, sql } from 'kysely';
import type { Db } from './dialect.ts';
import { findHull, type Hull } from './hull.ts';
import { RANGE_RANK } from './migrations/0001-initial.ts';
import type { BatchRow } from './session.ts';
import { reach } from './sparse.ts';

/** A stretch that is in the lease's hands, and what holds for all of its items. */
export type StampedRange = {
  from_seq: number;
  to_seq: number;
  attempt: number;
  last_attempt: number;
  priority: number;
  config_no: number;
};

/** A free, ready range. */
export type Candidate = StampedRange & { id: number; crashes: number; items: number | null };
export type Candidates = [best: Candidate, ...Candidate[]];

/** The ranges that were stamped, and how many items they hold. */
export type Stamped = { count: number; ranges: StampedRange[] };

/** Free ranges looked at to begin with: a fresh batch has one. Where many short ones wait, more are asked for. */
export const FIRST_LOOK = 4;

/** As the index has it. */
export const rank = sql.raw(RANGE_RANK);
const rankOf = (crashes: number) => (crashes === 1 ? -1 : crashes);

/** A free range as the loop over many needs it. */
type Free = Omit<Candidate, 'crashes'>;

/** What a stamp needs to know: `end` is the last seq that may be taken. */
type Asked = { token: string; limit: number; end: number };

/** Stamps a token on the first ranges that are of the kind of the best one, until `limit` items are held. */
export async function stamp(db: Db, batch: BatchRow, found: Candidates, asked: Asked): Promise<Stamped> {
  const [kind] = found;
  const { limit, end } = asked;
  const ofKind = sql`batch_no = ${batch.no} and token is null and ready_at = 0
    and priority = ${kind.priority} and ${rank} = ${rankOf(kind.crashes)} and from_seq >= ${kind.from_seq}`;
  const alike = found.filter(
    ({ priority, crashes }) => priority === kind.priority && crashes === kind.crashes,
  );
  if (alike.length < FIRST_LOOK || countOf(alike) >= limit) {
    return stampEach(db, batch, alike, { ...asked, ofKind });
  }
  const behind = async (seq: number, howMany: number) => {
    const { rows } = await sql<Free>`
      select id, from_seq, to_seq, attempt, last_attempt, priority, config_no, items from range
      where ${ofKind} and from_seq > ${seq} and from_seq <= ${end} order by from_seq limit ${howMany}`.execute(
      db,
    );
    return rows;
  };
  const hull = await findHull(db, batch, { kind: ofKind, limit, end });
  if (hull === null) return stampEach(db, batch, await behind(0, limit), { ...asked, ofKind });
  await stampHull(db, batch, hull, { token: asked.token, crashes: kind.crashes, ofKind });
  if (hull.count === limit) return { count: limit, ranges: [hull.range] };
  // What did not fit into the hull: the next one in part, or sparse ones.
  const next = await behind(hull.range.to_seq, limit - hull.count);
  const rest = await stampEach(db, batch, next, { ...asked, limit: limit - hull.count, ofKind });
  return { count: hull.count + rest.count, ranges: [hull.range, ...rest.ranges] };
}

async function stampEach(
  db: Db,
  batch: BatchRow,
  free: readonly Free[],
  { token, limit, end, ofKind }: Asked & { ofKind: RawBuilder<unknown> },
): Promise<Stamped> {
  const ranges: StampedRange[] = [];
  let count = 0;
  let lastWhole: number | null = null;
  for (const { id, items, from_seq, to_seq, attempt, last_attempt, priority, config_no } of free) {
    const range = { from_seq, to_seq, attempt, last_attempt, priority, config_no };
    const head = await headOf(db, batch, { ...range, id, items }, { limit: limit - count, end });
    count += head.items;
    ranges.push({ ...range, to_seq: head.to_seq });
    if (head.rest_from !== null) {
      await split(db, id, { ...head, rest_from: head.rest_from }, token);
      break;
    }
    lastWhole = from_seq;
    if (count >= limit) break;
  }
  if (lastWhole !== null) {
    await sql`update range set token = ${token}, items = null where ${ofKind} and from_seq <= ${lastWhole}`.execute(
      db,
    );
  }
  return { count, ranges };
}

async function stampHull(
  db: Db,
  batch: BatchRow,
  { range }: Hull,
  { token, crashes, ofKind }: { token: string; crashes: number; ofKind: RawBuilder<unknown> },
): Promise<void> {
  await Promise.all([
    sql`delete from range where ${ofKind} and from_seq <= ${range.to_seq}`.execute(db),
    db
      .insertInto('range')
      .values({ ...range, batch_no: batch.no, crashes, ready_at: 0, token })
      .execute(),
  ]);
}

type Sized = { from_seq: number; to_seq: number; items: number | null };

function sizeOf({ from_seq, to_seq, items }: Sized): number {
  return items ?? to_seq - from_seq + 1;
}

function countOf(ranges: readonly Sized[]): number {
  return ranges.reduce((sum, range) => sum + sizeOf(range), 0);
}

/**
 * As much of a range as may be taken. A sparse one that is not taken whole is to be counted through; no
 * canary ends in it, since all that is left of its batch is in such ranges.
 */
async function headOf(
  db: Db,
  batch: BatchRow,
  range: Sized & { id: number },
  { limit, end }: { limit: number; end: number },
): Promise<Head & { rest_from: number | null }> {
  const { from_seq, to_seq, items } = range;
  if (items !== null) {
    if (items <= limit) return { to_seq, items, rest_from: null };
    return { ...(await reach(db, { ...range, batch_no: batch.no }, limit)), items: limit };
  }
  const cut = Math.min(to_seq, from_seq + limit - 1, end);
  return { to_seq: cut, items: cut - from_seq + 1, rest_from: cut < to_seq ? cut + 1 : null };
}

type Head = { to_seq: number; items: number };

/** The head goes to the lease, the rest stays free. */
async function split(
  db: Db,
  id: number,
  { to_seq, items, rest_from }: Head & { rest_from: number },
  token: string,
): Promise<void> {
  await Promise.all([
    sql`insert into range (batch_no, from_seq, to_seq, attempt, last_attempt, crashes, priority, ready_at, token, config_no)
      select batch_no, from_seq, ${to_seq}, attempt, last_attempt, crashes, priority, ready_at, ${token}, config_no
      from range where id = ${id}`.execute(db),
    sql`update range set from_seq = ${rest_from}, items = items - ${items} where id = ${id}`.execute(db),
  ]);
}
