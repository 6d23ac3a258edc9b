import { type Batch, exactTime, isActive, type RateLimit } from '@sheaf/protocol/words';

/** Starts that are remembered together: when the last of them was, and how many they are. */
export type Starts = readonly (readonly [at: number, count: number])[];

/** What is remembered of a stretch is cut into this many parts, however fast items start. */
const GRAINS = 32;

/** Waits shorter than this need no words: they are over before somebody has read them. */
const WORTH_SAYING_MS = 2_000;

/**
 * How many items may start now, and when the next ones may if these are used up. No stretch of `per_ms`
 * ever holds more starts than the limit, wherever it begins: a window that slides, not one that is reset.
 */
export function startsAllowed(
  limit: RateLimit,
  starts: Starts,
  now: number,
): { items: number; next_at: number } {
  const recent = within(limit, starts, now);
  let counted = recent.reduce((sum, [, count]) => sum + count, 0);
  const items = Math.max(0, limit.items - counted);
  for (const [at, count] of recent) {
    if (counted < limit.items) break;
    counted -= count;
    if (counted < limit.items) return { items, next_at: at + limit.per_ms };
  }
  return { items, next_at: now };
}

/**
 * The memory after `count` more items have started. Starts that come close together are remembered as
 * one, at the time of the last: that allows a little less than the limit, by a thirty-second of the
 * stretch, and never more.
 */
export function addStarts(limit: RateLimit, starts: Starts, count: number, now: number): Starts {
  const recent = within(limit, starts, now);
  const last = recent.at(-1);
  // Two processes may have read the clock in another order than the one in which they lease.
  const at = Math.max(now, last?.[0] ?? now);
  const grain = limit.per_ms / GRAINS;
  const isClose = last !== undefined && Math.floor(last[0] / grain) === Math.floor(at / grain);
  return isClose ? [...recent.slice(0, -1), [at, last[1] + count]] : [...recent, [at, count]];
}

/** What lies further ahead than a stretch was made before the clock was set back, and would hold all up until then. */
function within({ per_ms }: RateLimit, starts: Starts, now: number): Starts {
  return starts.filter(([at]) => Math.abs(now - at) < per_ms);
}

/** What of a batch tells that its rate limit holds it up. */
export type HeldBatch = Pick<
  Batch,
  'status' | 'policies' | 'next_start_at' | 'pending_items' | 'running_items'
>;

/** Why a batch stands still whose limit is used up for now; null when it is at work, or will be in a moment. */
export function waitForRate(batch: HeldBatch, now: number): string | null {
  const { policies, next_start_at, status, running_items, pending_items } = batch;
  const { rate_limit } = policies;
  if (rate_limit === null || next_start_at === null || !isActive(status)) return null;
  const wait = next_start_at - now;
  if (wait < WORTH_SAYING_MS || wait > rate_limit.per_ms || running_items > 0 || pending_items === 0)
    return null;
  return `At its rate limit of ${rate_limit.items} in ${exactTime(rate_limit.per_ms)}; goes on in ${inWords(wait)}.`;
}

function inWords(ms: number): string {
  const seconds = Math.ceil(ms / 1_000);
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7_200 ? `${Math.ceil(seconds / 60)} min` : `${Math.ceil(seconds / 3_600)} h`;
}
