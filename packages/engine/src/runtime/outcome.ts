import { type Backoff, fingerprint } from '@sheaf/protocol';
import { afterFailure } from '../domain/retry.ts';
import type { Outcome } from '../ports/leasing.ts';
import type { Ended } from './attempt.ts';

/**
 * The outcomes of tries that are recorded together. They share one moment and one draw of chance, so
 * that neighbours which failed together wait together, in one range.
 */
export function toOutcomes(
  list: readonly Ended[],
  { backoff, jitter, now }: { backoff: Backoff; jitter: number; now: number },
): Outcome[] {
  return list.map(({ item, started_at, duration_ms, result, failure, metrics, outputs, log }): Outcome => {
    const outcome: Outcome = {
      seq: item.seq,
      attempt: item.attempt,
      status: 'completed',
      result,
      error: null,
      cause: null,
      retry: null,
      config_no: item.config_no,
      metrics,
      outputs,
      log,
      bytes: item.file?.bytes ?? 0,
      started_at,
      duration_ms,
    };
    if (failure === null) return outcome;
    const { error, retry_after_ms } = failure;
    const { attempt, last_attempt, priority } = item;
    const verdict = afterFailure({
      failure: error,
      attempt,
      last_attempt,
      backoff,
      retry_after_ms,
      jitter,
      now,
    });
    const retry = verdict.status === 'retry' ? { ready_at: verdict.ready_at, last_attempt, priority } : null;
    return { ...outcome, status: verdict.status, error, cause: fingerprint(error), retry };
  });
}
