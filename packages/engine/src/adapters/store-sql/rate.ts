import type { Policies, RateLimit } from '@sheaf/protocol/words';
import { type RawBuilder, sql } from 'kysely';
import { addStarts, type Starts, startsAllowed } from '../../domain/rate-limit.ts';
import { parse } from './rows.ts';
import type { BatchRow, Write } from './session.ts';

type RateColumns = Pick<BatchRow, 'rate_starts' | 'rate_per_ms' | 'next_start_at'>;

/** A batch that has started nothing yet. */
export function freshRate({ rate_limit: limit }: Policies): RateColumns {
  return {
    rate_starts: limit === null ? null : '[]',
    rate_per_ms: limit?.per_ms ?? null,
    next_start_at: null,
  };
}

/**
 * Whether the batch `b` may start nothing now. What lies further ahead than its stretch was written before
 * the clock was set back, and holds nothing up.
 */
export function isRateLimited(now: number): RawBuilder<boolean> {
  return sql<boolean>`(b.next_start_at > ${now} and b.next_start_at <= ${now} + b.rate_per_ms)`;
}

/** Another limit, or none. What has started lately counts for it, as far as it is remembered. */
export function changedRate(
  row: BatchRow,
  limit: RateLimit | null,
  now: number,
): RateColumns & Pick<BatchRow, 'policies'> {
  const policies: Policies = { ...parse<Policies>(row.policies), rate_limit: limit };
  const columns = limit === null ? freshRate(policies) : columnsOf(limit, startsOf(row), now);
  return { ...columns, policies: JSON.stringify(policies) };
}

/**
 * What may be leased of a batch as its rate limit has it, and when there is more. A leased item counts as
 * started, so those that have no slot yet are not leased. Without a limit there is no end.
 */
export function startsLeft(
  row: BatchRow,
  { slots, now }: { slots: number; now: number },
): { items: number; next_at: number } {
  const limit = limitOf(row);
  if (limit === null) return { items: Number.POSITIVE_INFINITY, next_at: now };
  const { items, next_at } = startsAllowed(limit, startsOf(row), now);
  return { items: Math.min(items, slots), next_at };
}

/** Remembers that items were leased, in the transaction that leases them. */
export async function countStarts(tx: Write, row: BatchRow, count: number, now: number): Promise<void> {
  const limit = limitOf(row);
  if (limit === null || count === 0) return;
  const columns = columnsOf(limit, addStarts(limit, startsOf(row), count, now), now);
  await tx.db.updateTable('batch').set(columns).where('no', '=', row.no).execute();
}

function columnsOf(limit: RateLimit, starts: Starts, now: number): RateColumns {
  const { items, next_at } = startsAllowed(limit, starts, now);
  return {
    rate_starts: JSON.stringify(starts),
    rate_per_ms: limit.per_ms,
    next_start_at: items > 0 ? null : next_at,
  };
}

/** Null for nearly all batches; only the others pay for their policies to be read. */
export function limitOf({ rate_starts, policies }: BatchRow): RateLimit | null {
  return rate_starts === null ? null : parse<Policies>(policies).rate_limit;
}

function startsOf({ rate_starts }: BatchRow): Starts {
  return rate_starts === null ? [] : parse<Starts>(rate_starts);
}
