import type { ItemStatus } from '@sheaf/protocol';
import { sql } from 'kysely';
import type { Db, Dialect } from './dialect.ts';
import { IS_COVERED } from './is-covered.ts';
import type { BatchRow } from './session.ts';
import type { ItemState } from './tables.ts';

type Stretch = { from_seq: number; to_seq: number; attempt: number; ready_at: number };

/** What the ranges and leases of a batch say of its items without an outcome. */
export type Cover = {
  /** Null when nothing covers the item: it is cancelled. */
  find(seq: number, attempt: number): { status: ItemStatus; retry_at: number | null } | null;
};

/** Reads only what can cover the given items, which are in the order of their seq. */
export async function coverOf(
  db: Db,
  dialect: Dialect,
  row: BatchRow,
  items: readonly ItemState[],
): Promise<Cover> {
  const open = items.filter((item) => item.status === null);
  const [first, last] = [open[0]?.seq, open.at(-1)?.seq];
  if (first === undefined || last === undefined) return { find: () => null };
  const { rows: free } = await sql<Stretch>`
    select from_seq, to_seq, attempt, ready_at from range
    where batch_no = ${row.no} and token is null and from_seq <= ${last} and to_seq >= ${first}
      and from_seq >= coalesce((select from_seq from range
        where batch_no = ${row.no} and token is null and from_seq <= ${first} order by from_seq desc limit 1), ${first})
    order by from_seq`.execute(db);
  const held = await heldSeqs(db, dialect, row, first, last);
  const running = held.size === 0 ? new Set<number>() : await startedSeqs(db, dialect, row);
  return {
    find(seq, attempt) {
      const waiting = covering(free, seq, attempt);
      if (waiting !== undefined)
        return { status: 'pending', retry_at: waiting.ready_at > 0 ? waiting.ready_at : null };
      if (!held.has(seq)) return null;
      return { status: running.has(seq) ? 'running' : 'pending', retry_at: null };
    },
  };
}

/** Free ranges never overlap: the last one that begins at or before the seq is the only candidate. */
function covering(stretches: readonly Stretch[], seq: number, attempt: number): Stretch | undefined {
  let [low, high] = [0, stretches.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((stretches[middle]?.from_seq ?? 0) <= seq) low = middle + 1;
    else high = middle;
  }
  const found = stretches[low - 1];
  return found !== undefined && found.to_seq >= seq && found.attempt > attempt ? found : undefined;
}

/**
 * The seqs that leases hold, item by item: held ranges may overlap where an item failed and was leased
 * again under the same token, so that an interval alone says nothing.
 */
async function heldSeqs(
  db: Db,
  dialect: Dialect,
  row: BatchRow,
  first: number,
  last: number,
): Promise<Set<number>> {
  const { rows } = await sql<{ seq: number }>`
    select i.seq from lease l join range r on r.token = l.token ${dialect.itemsOf}
    where l.batch_no = ${row.no} and r.from_seq <= ${last} and r.to_seq >= ${first} and i.seq between ${first} and ${last} and ${IS_COVERED}`.execute(
    db,
  );
  return new Set(rows.map(({ seq }) => seq));
}

/** A lease runs its items in order, `width` at a time: the first ones without an outcome are at work. */
async function startedSeqs(db: Db, dialect: Dialect, row: BatchRow): Promise<Set<number>> {
  const leases = await db
    .selectFrom('lease')
    .select(['token', 'width'])
    .where('batch_no', '=', row.no)
    .where('epoch', '=', row.epoch)
    .execute();
  const started = new Set<number>();
  for (const { token, width } of leases) {
    const { rows } = await sql<{ seq: number }>`
      select i.seq from range r ${dialect.itemsOf}
      where r.token = ${token} and ${IS_COVERED}
      order by i.seq limit ${width}`.execute(db);
    for (const { seq } of rows) started.add(seq);
  }
  return started;
}

/** The first seq that any range of the batch begins with; nothing waits before it. */
export async function firstOpenSeq(db: Db, batchNo: number): Promise<number> {
  const { rows } = await sql<{ seq: number | null }>`select min(from_seq) as seq from range
    where batch_no = ${batchNo}`.execute(db);
  return rows[0]?.seq ?? 1;
}
