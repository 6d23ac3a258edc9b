import { sql } from 'kysely';

/**
 * SQL that asks whether an item `i` in a range is still to be done: nothing has become of it, and the
 * range's attempt has not been made. The rows of items answer for those that were never tried; for the
 * others their attempts do. One that stands failed has made the attempt of every range around it.
 *
 * @param attempt Of the range, as SQL. @default `r.attempt`
 */
export function isCovered(attempt = 'r.attempt'): string {
  return `i.status is null and (i.attempt = 0 or not exists (select 1 from attempt a
    where a.batch_no = i.batch_no and a.seq = i.seq and (a.status = 'completed' or a.attempt >= ${attempt})))`;
}

/** The same of a range `r`, for queries. */
export const IS_COVERED = sql.raw<boolean>(isCovered());

/** Whether nothing has become of an item `i`, wherever that would stand. */
export const HAS_NO_OUTCOME = sql<boolean>`i.status is null and (i.attempt = 0 or not (
  exists (select 1 from failure f where f.batch_no = i.batch_no and f.seq = i.seq)
  or exists (select 1 from attempt a where a.batch_no = i.batch_no and a.seq = i.seq and a.status = 'completed')))`;

/** The number of the last attempt of such an item `i`. */
export const LAST_ATTEMPT = sql<number>`case when i.attempt = 0 then 0 else (
  select max(a.attempt) from attempt a where a.batch_no = i.batch_no and a.seq = i.seq) end`;
