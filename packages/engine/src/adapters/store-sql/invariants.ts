import { isActive, isFinal } from '@sheaf/protocol/words';
import { sql } from 'kysely';
import type { Store } from '../../ports/store.ts';
import type { Db } from './dialect.ts';
import { IS_COVERED } from './is-covered.ts';
import type { BatchRow, Session } from './session.ts';

/** Recounts what the counters say, from the rows themselves. */
export function checking(session: Session): Pick<Store, 'checkInvariants'> {
  return {
    // One moment for all reads: between two of them a record could commit and look like a broken counter.
    checkInvariants: () =>
      session.write(async ({ db, dialect }) => {
        await dialect.freeze(db);
        const rows = (await db
          .selectFrom('batch')
          .selectAll()
          .where('hidden_at', 'is', null)
          .execute()) as BatchRow[];
        const broken: string[] = [];
        for (const row of rows) {
          for (const problem of await checkBatch(db, row)) broken.push(`${row.id}: ${problem}`);
        }
        broken.push(...(await checkSpaces(db)), ...(await checkDoomed(db)));
        return broken;
      }),
  };
}

async function checkBatch(db: Db, row: BatchRow): Promise<string[]> {
  const problems = [...(await checkCounters(db, row)), ...(await checkEvents(db, row))];
  const isCleared = row.leftover === 0;
  if (isCleared || isActive(row.status)) problems.push(...(await checkCover(db, row)));
  if (isFinal(row.status) && isCleared) problems.push(...(await checkEnded(db, row)));
  problems.push(...(await checkWidths(db, row)));
  return problems;
}

/** I1: the counters equal a recount. I2: completed items have a result time, others none. */
async function checkCounters(db: Db, row: BatchRow): Promise<string[]> {
  const { rows } = await sql<Record<string, number>>`
    select count(*) as total,
      coalesce(sum(case when status = 'completed' then 1 else 0 end), 0) as completed,
      coalesce(sum(case when status = 'failed' then 1 else 0 end), 0) as failed,
      coalesce(sum(case when status = 'skipped' then 1 else 0 end), 0) as skipped,
      coalesce(sum(case when (status is null) = (finished_at is null) then 0 else 1 end), 0) as untimed,
      coalesce(sum(bytes), 0) as bytes
    from item_state where batch_no = ${row.no}`.execute(db);
  const count = rows[0] ?? {};
  const expected: [string, number, number | undefined][] = [
    ['I1 total_items', row.total_items, count.total],
    ['I1 completed_items', row.completed_items, count.completed],
    ['I1 failed_items', row.failed_items, count.failed],
    ['I1 skipped_items', row.skipped_items, count.skipped],
    ['I1 total_bytes', row.total_bytes, count.bytes],
    ['I2 items whose outcome and time disagree', 0, count.untimed],
  ];
  const causes = await sql<{
    count: number | null;
  }>`select sum(count) as count from cause where batch_no = ${row.no}`.execute(db);
  const caused = await sql<{ count: number }>`select count(*) as count from failure
    where batch_no = ${row.no}`.execute(db);
  expected.push([
    'failures by cause',
    Number(causes.rows[0]?.count ?? 0),
    Number(caused.rows[0]?.count ?? 0),
  ]);
  return expected
    .filter(([, said, found]) => said !== Number(found))
    .map(([what, said, found]) => `${what} says ${said}, a recount ${found}`);
}

/** I4: ranges never overlap, are tight while free, and cover exactly what is left to do. */
async function checkCover(db: Db, row: BatchRow): Promise<string[]> {
  const problems: string[] = [];
  const { rows: twice } = await sql<{ seq: number }>`
    select i.seq from item i join range r on r.batch_no = i.batch_no and i.seq between r.from_seq and r.to_seq
      and ${IS_COVERED}
    where i.batch_no = ${row.no} group by i.seq having count(*) > 1 limit 3`.execute(db);
  for (const { seq } of twice) problems.push(`I4 item ${seq} is covered twice`);
  const { rows: loose } = await sql<{ from_seq: number; to_seq: number }>`
    select r.from_seq, r.to_seq from range r where r.batch_no = ${row.no} and r.token is null
      and ((select count(*) from item i where i.batch_no = r.batch_no and i.seq between r.from_seq and r.to_seq
        and ${IS_COVERED}) <> coalesce(r.items, r.to_seq - r.from_seq + 1)
      or not exists (select 1 from item i where i.batch_no = r.batch_no and i.seq = r.from_seq and ${IS_COVERED}))
    limit 3`.execute(db);
  for (const { from_seq, to_seq } of loose)
    problems.push(`I4 the free range ${from_seq}–${to_seq} covers what is not to be done`);
  const { rows } = await sql<{ open: number; covered: number }>`
    select count(*) as open, coalesce(sum(case when exists (
        select 1 from range r where r.batch_no = i.batch_no and i.seq between r.from_seq and r.to_seq
          and i.attempt < r.attempt) then 1 else 0 end), 0) as covered
    from item_state i where i.batch_no = ${row.no} and i.status is null`.execute(db);
  const { open, covered } = rows[0] ?? { open: 0, covered: 0 };
  const uncovered = Number(open) - Number(covered);
  if (uncovered !== row.cancelled_items) {
    problems.push(
      `I4 ${uncovered} items are covered by nothing, cancelled_items says ${row.cancelled_items}`,
    );
  }
  const { rows: orphans } =
    await sql`select 1 from range r where r.batch_no = ${row.no} and r.token is not null
    and not exists (select 1 from lease l where l.token = r.token) limit 1`.execute(db);
  if (orphans.length > 0) problems.push('I4 a range is held by a lease that does not exist');
  const { rows: miscounted } = await sql<{ token: string; left: number; found: number }>`
    select l.token, l."left", (select count(*) from range r join item i on i.batch_no = r.batch_no
        and i.seq between r.from_seq and r.to_seq and ${IS_COVERED}
      where r.token = l.token) as found
    from lease l where l.batch_no = ${row.no} and l.epoch = ${row.epoch}`.execute(db);
  for (const { token, left, found } of miscounted) {
    if (left !== Number(found)) problems.push(`I4 the lease ${token} says ${left} left, a recount ${found}`);
  }
  return problems;
}

/** I5: nothing of a final batch can run or record. */
async function checkEnded(db: Db, row: BatchRow): Promise<string[]> {
  const { rows } = await sql<{ ranges: number; leases: number }>`
    select (select count(*) from range where batch_no = ${row.no}) as ranges,
      (select count(*) from lease where batch_no = ${row.no} and epoch = ${row.epoch}) as leases`.execute(db);
  const { ranges, leases } = rows[0] ?? { ranges: 0, leases: 0 };
  return ranges > 0 || leases > 0
    ? [`I5 the batch is ${row.status} with ${ranges} ranges and ${leases} leases`]
    : [];
}

async function checkWidths(db: Db, row: BatchRow): Promise<string[]> {
  const { rows } = await sql<{ width: number | null }>`select sum(width) as width from lease
    where batch_no = ${row.no} and epoch = ${row.epoch}`.execute(db);
  const width = Number(rows[0]?.width ?? 0);
  return width === row.leased_width ? [] : [`I4 leased_width says ${row.leased_width}, the leases ${width}`];
}

/** I7: the numbers of a batch's events have no gaps. */
async function checkEvents(db: Db, row: BatchRow): Promise<string[]> {
  const { rows } = await sql<{
    count: number;
    last: number | null;
  }>`select count(*) as count, max(seq) as last
    from event where batch_no = ${row.no}`.execute(db);
  const { count, last } = rows[0] ?? { count: 0, last: null };
  const isGapless = Number(count) === row.event_seq && Number(last ?? 0) === row.event_seq;
  return isGapless ? [] : [`I7 event_seq says ${row.event_seq}, there are ${count} events up to ${last}`];
}

/** I6: nothing points into another space. */
async function checkSpaces(db: Db): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select f.id from item i join batch b on b.no = i.batch_no join file f on f.id = i.file_id where f.space <> b.space
    union all
    select f.id from file f join batch b on b.no = f.batch_no where f.space <> b.space limit 3`.execute(db);
  return rows.map(({ id }) => `I6 the file ${id} is used by another space`);
}

/** I8: no file names bytes that are being removed. */
async function checkDoomed(db: Db): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`select f.id from file f
    join doomed_blob d on d.space = f.space and d.sha256 = f.sha256 where d.claimed_at is not null limit 3`.execute(
    db,
  );
  return rows.map(({ id }) => `I8 the bytes of the file ${id} are being removed`);
}
