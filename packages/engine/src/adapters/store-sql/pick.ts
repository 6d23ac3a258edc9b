import type { Json } from '@sheaf/protocol';
import { sql } from 'kysely';
import type { LeasedItem } from '../../ports/leasing.ts';
import type { Db } from './dialect.ts';
import type { BatchRow, Write } from './session.ts';
import { type Candidate, type Candidates, FIRST_LOOK, rank, type Stamped, stamp } from './stamp.ts';

/** Due retries that one lease wakes: more wait for the next one, so that no lease is slow. */
const WAKE_LIMIT = 1_000;

/** Ranges lost with their host this often hold the suspect itself: they run alone. */
const ALONE_FROM = 2;

export type Picked = Stamped & { alone: boolean };
export type NothingPicked = 'none_ready' | 'needs_idle';

/**
 * Stamps a token on the best free, ready ranges of a batch until `limit` items are held, cutting the
 * last one. All are of one kind (priority and number of lost hosts), so that one statement over a
 * stretch of seqs takes them.
 */
export async function pick(
  { db }: Write,
  batch: BatchRow,
  options: { token: string; limit: number; width: number; idle: boolean; now: number },
): Promise<Picked | NothingPicked> {
  const end = batch.canary_to ?? Number.MAX_SAFE_INTEGER;
  const found = await findBest(db, batch.no, { ...options, end });
  if (typeof found === 'string') return found;
  const [best] = found;
  const alone = best.crashes >= ALONE_FROM;
  // After a first loss smaller lots, so that the next one narrows down who did it.
  const limit = alone ? 1 : best.crashes > 0 ? Math.min(options.limit, options.width) : options.limit;
  return { alone, ...(await stamp(db, batch, found, { token: options.token, limit, end })) };
}

/** The first of the ranges that are ready by now, in the order in which they are to be taken. */
async function findBest(
  db: Db,
  batchNo: number,
  { end, idle, now }: { end: number; idle: boolean; now: number },
): Promise<Candidates | NothingPicked> {
  // The signs keep the planner with the index that is in the wanted order; by seq it would sort them all.
  const look = async (maxCrashes: number) => {
    const { rows } = await sql<Candidate & { is_any_due: number | null }>`
      select id, from_seq, to_seq, attempt, last_attempt, priority, config_no, items, crashes, (
        select 1 from range where batch_no = ${batchNo} and token is null and ready_at > 0 and ready_at <= ${now} limit 1
      ) as is_any_due
      from range
      where batch_no = ${batchNo} and token is null and ready_at = 0 and +from_seq <= ${end} and +crashes <= ${maxCrashes}
      order by priority desc, ${rank}, from_seq limit ${FIRST_LOOK}`.execute(db);
    return rows;
  };
  let found = await look(Number.MAX_SAFE_INTEGER);
  const mayWake = found[0] === undefined || found[0].is_any_due !== null;
  if (mayWake && (await wake(db, batchNo, now))) found = await look(Number.MAX_SAFE_INTEGER);
  if (found[0] === undefined) return 'none_ready';
  if (found[0].crashes >= ALONE_FROM && !idle) found = await look(ALONE_FROM - 1);
  const [best, ...others] = found;
  return best === undefined ? 'needs_idle' : [best, ...others];
}

/** When the next waiting retry of a batch falls due. */
export async function nextReady(db: Db, batchNo: number): Promise<number | null> {
  const { rows } = await sql<{ at: number | null }>`select min(ready_at) as at from range
    where batch_no = ${batchNo} and token is null and ready_at > 0`.execute(db);
  return rows[0]?.at ?? null;
}

/** Due retries become ready. Answers whether there were any. */
async function wake(db: Db, batchNo: number, now: number): Promise<boolean> {
  const { numAffectedRows } = await sql`update range set ready_at = 0 where id in (
      select id from range where batch_no = ${batchNo} and token is null and ready_at > 0 and ready_at <= ${now}
      order by ready_at limit ${WAKE_LIMIT})`.execute(db);
  return numAffectedRows !== undefined && numAffectedRows > 0n;
}

/** The configs that leased items ask for: nearly always one, the batch's own. */
export async function configsOf(
  { db }: Write,
  batch: { no: number; config_no: number; config: string },
  items: readonly LeasedItem[],
): Promise<Record<number, Json>> {
  const numbers = [...new Set(items.map((item) => item.config_no))];
  const others = numbers.filter((number) => number !== batch.config_no);
  const configs: Record<number, Json> = {};
  if (numbers.length > others.length) configs[batch.config_no] = JSON.parse(batch.config) as Json;
  if (others.length > 0) {
    const rows = await db
      .selectFrom('batch_config')
      .select(['config_no', 'config'])
      .where('batch_no', '=', batch.no)
      .where('config_no', 'in', others)
      .execute();
    for (const row of rows) configs[row.config_no] = JSON.parse(row.config) as Json;
  }
  return configs;
}
