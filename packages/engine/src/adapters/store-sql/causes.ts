import { type RawBuilder, sql } from 'kysely';

/** Whether a failure `f` has this cause, or one with this code. */
export function hasCause(batchNo: number, causeOrCode: string): RawBuilder<boolean> {
  return sql<boolean>`f.cause in (select ${causeOrCode} union all
    select c.cause from cause c where c.batch_no = ${batchNo} and c.code = ${causeOrCode})`;
}
