import { sql } from 'kysely';
import type { Outcome, OutputRow } from '../../ports/leasing.ts';
import type { Write } from './session.ts';
import type { RangeTable } from './tables.ts';

/** Log rows keep the attempt's lines together; they are read page by page. */
export async function keepLogs(
  tx: Write,
  batchNo: number,
  outcomes: readonly Outcome[],
  now: number,
): Promise<void> {
  const rows = outcomes
    .filter(({ log }) => log !== null)
    .map(({ seq, attempt, log }) => ({ batch_no: batchNo, seq, attempt, at: now, text: log }));
  await tx.dialect.insertMany(tx.db, 'log', rows);
}

/** Outputs become files of the item in the transaction that makes it completed. */
export async function keepOutputs(
  tx: Write,
  lease: { batch_no: number; space: string },
  outcomes: readonly Outcome[],
  now: number,
): Promise<void> {
  const rows = outputsOf(outcomes).map((output) => ({
    ...output,
    space: lease.space,
    batch_no: lease.batch_no,
    created_at: now,
  }));
  await tx.dialect.insertMany(tx.db, 'file', rows);
}

/** What becomes a file when these outcomes are recorded; only a completed item has any. */
export function outputsOf(outcomes: readonly Outcome[]): (OutputRow & { seq: number })[] {
  return outcomes
    .filter(({ status, outputs }) => status === 'completed' && outputs !== null)
    .flatMap(({ seq, outputs }) => (outputs ?? []).map((output) => ({ ...output, seq })));
}

/** Final failures by cause, so that nobody ever counts a million rows to show three lines. */
export async function countCauses(
  tx: Write,
  batchNo: number,
  failed: readonly Outcome[],
  now: number,
): Promise<void> {
  const counts = new Map<string, { code: string; message: string; count: number }>();
  for (const { status, cause, error } of failed) {
    if (status !== 'failed' || cause === null || error === null) continue;
    const known = counts.get(cause) ?? { code: error.code, message: error.message, count: 0 };
    counts.set(cause, { ...known, count: known.count + 1 });
  }
  for (const [cause, { code, message, count }] of counts) {
    await sql`insert into cause (batch_no, cause, code, message, count, first_at, last_at)
      values (${batchNo}, ${cause}, ${code}, ${message}, ${count}, ${now}, ${now})
      on conflict (batch_no, cause) do update set count = cause.count + ${count}, last_at = ${now}`.execute(
      tx.db,
    );
  }
}

/**
 * Free ranges for the attempts to come. Neighbours that fail together wait together: they share one
 * range, and an outage does not leave a range an item.
 */
export async function scheduleRetries(tx: Write, batchNo: number, failed: readonly Outcome[]): Promise<void> {
  const ranges: Omit<RangeTable, 'id'>[] = [];
  for (const { seq, attempt, retry, config_no } of [...failed].sort((a, b) => a.seq - b.seq)) {
    if (retry === null) continue;
    const { last_attempt, priority } = retry;
    // 0 means ready; a waiting one carries a time, even when it is due at once.
    const readyAt = Math.max(1, retry.ready_at);
    const last = ranges.at(-1);
    const joins =
      last !== undefined &&
      last.to_seq === seq - 1 &&
      last.attempt === attempt + 1 &&
      last.last_attempt === last_attempt &&
      last.config_no === config_no &&
      last.priority === priority &&
      last.ready_at === readyAt;
    if (joins) {
      last.to_seq = seq;
      continue;
    }
    ranges.push({
      batch_no: batchNo,
      from_seq: seq,
      to_seq: seq,
      attempt: attempt + 1,
      last_attempt,
      // A recorded failure proves that the item does not kill its host.
      crashes: 0,
      priority,
      ready_at: readyAt,
      token: null,
      config_no,
      items: null,
    });
  }
  await tx.dialect.insertMany(tx.db, 'range', ranges);
}

type Sums = Record<string, { sum: number; count: number; min: number; max: number }>;

/** The batch's sums with those of newly completed items. */
export function addMetrics(stored: string, completed: readonly Outcome[]): string {
  if (completed.every((outcome) => outcome.metrics === null)) return stored;
  const sums = new Map(Object.entries(JSON.parse(stored) as Sums));
  for (const { metrics } of completed) {
    for (const [name, value] of Object.entries(metrics ?? {})) {
      const known = sums.get(name) ?? { sum: 0, count: 0, min: value, max: value };
      sums.set(name, {
        sum: known.sum + value,
        count: known.count + 1,
        min: Math.min(known.min, value),
        max: Math.max(known.max, value),
      });
    }
  }
  return JSON.stringify(Object.fromEntries(sums));
}
