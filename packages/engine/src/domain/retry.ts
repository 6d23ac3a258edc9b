import type { Backoff, Failure } from '@sheaf/protocol';

/** What follows a failed attempt. */
export type Verdict = { status: 'failed' } | { status: 'retry'; ready_at: number };

/**
 * Decides alone what follows a failure: another attempt, or none.
 *
 * The wait doubles with each attempt up to its cap, and half of it is chance ("equal jitter",
 * M. Brooker, *Exponential Backoff and Jitter*, 2015), so that what failed together does not return
 * together. A processor that names a time is obeyed.
 *
 * @param jitter Chance in [0, 1): one draw a record, so that neighbours share their moment and their range.
 */
export function afterFailure(options: {
  failure: Failure;
  attempt: number;
  last_attempt: number;
  backoff: Backoff;
  retry_after_ms: number | null;
  jitter: number;
  now: number;
}): Verdict {
  const { failure, attempt, last_attempt, backoff, retry_after_ms, jitter, now } = options;
  if (failure.kind === 'permanent' || attempt >= last_attempt) return { status: 'failed' };
  if (retry_after_ms !== null) return { status: 'retry', ready_at: now + Math.max(0, retry_after_ms) };
  // 2 ** 30 is past any cap: no overflow for patient batches.
  const full = Math.min(backoff.max_ms, backoff.base_ms * 2 ** Math.min(30, attempt - 1));
  return { status: 'retry', ready_at: Math.round(now + full / 2 + (full / 2) * jitter) };
}
