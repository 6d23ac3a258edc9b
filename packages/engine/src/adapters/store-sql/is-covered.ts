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
