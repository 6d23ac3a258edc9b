import type { Failure } from '@sheaf/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { afterFailure } from './retry.ts';

const NOW = Date.UTC(2026, 10, 5, 12);

const fields = (options: Partial<Parameters<typeof afterFailure>[0]> = {}) => ({
  failure: { kind: 'retryable', code: 'error', message: 'it broke' } satisfies Failure as Failure,
  attempt: 1,
  last_attempt: 3,
  backoff: { base_ms: 1_000, max_ms: 300_000 },
  retry_after_ms: null,
  jitter: 0.5,
  now: NOW,
  ...options,
});

const failure = (kind: Failure['kind']): Failure => ({ kind, code: 'error', message: 'it broke' });

/** Anything the caller may come with. */
const anything = fc.record({
  failure: fc.constantFrom<Failure['kind']>('retryable', 'permanent', 'timeout', 'cancelled').map(failure),
  attempt: fc.integer({ min: 1, max: 100_000 }),
  last_attempt: fc.integer({ min: 1, max: 100_000 }),
  backoff: fc.record({ base_ms: fc.nat(3_600_000), max_ms: fc.nat(86_400_000) }),
  retry_after_ms: fc.option(fc.nat(86_400_000)),
  jitter: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  now: fc.constant(NOW),
});

describe('what follows a failure', () => {
  it('is another attempt while there are some left, and none after the last', () => {
    expect(afterFailure(fields({ attempt: 2, last_attempt: 3 })).status).toBe('retry');
    expect(afterFailure(fields({ attempt: 3, last_attempt: 3 })).status).toBe('failed');
    expect(afterFailure(fields({ attempt: 1, last_attempt: 1 })).status).toBe('failed');
  });

  it('is never another attempt for a permanent failure', () => {
    expect(afterFailure(fields({ failure: failure('permanent'), retry_after_ms: 5 })).status).toBe('failed');
  });

  it('is another attempt after a timeout', () => {
    expect(afterFailure(fields({ failure: failure('timeout') })).status).toBe('retry');
  });

  it('waits twice as long each time, up to the longest wait', () => {
    const waits = [1, 2, 3, 4, 9, 10, 50].map((attempt) => {
      const verdict = afterFailure(fields({ attempt, last_attempt: 100, jitter: 0 }));
      return verdict.status === 'retry' ? verdict.ready_at - NOW : null;
    });
    expect(waits).toEqual([500, 1_000, 2_000, 4_000, 128_000, 150_000, 150_000]);
  });

  it('obeys a processor that names a time, even a longer one than the longest wait', () => {
    const verdict = afterFailure(fields({ retry_after_ms: 3_600_000 }));
    expect(verdict).toEqual({ status: 'retry', ready_at: NOW + 3_600_000 });
  });

  it('does not start an attempt that the processor put off beyond its last', () => {
    expect(afterFailure(fields({ attempt: 3, retry_after_ms: 5 })).status).toBe('failed');
  });

  it('is decided for every input: a whole moment that is not past, within half and all of the wait', () => {
    fc.assert(
      fc.property(anything, (options) => {
        const verdict = afterFailure(options);
        const isLast = options.attempt >= options.last_attempt || options.failure.kind === 'permanent';
        expect(verdict.status).toBe(isLast ? 'failed' : 'retry');
        if (verdict.status === 'failed') return;
        expect(Number.isSafeInteger(verdict.ready_at)).toBe(true);
        const { base_ms, max_ms } = options.backoff;
        const full = options.retry_after_ms ?? Math.min(max_ms, base_ms * 2 ** (options.attempt - 1));
        expect(verdict.ready_at).toBeLessThanOrEqual(NOW + full + 1);
        expect(verdict.ready_at).toBeGreaterThanOrEqual(NOW + Math.floor(full / 2));
      }),
    );
  });

  it('keeps neighbours together: the same draw gives the same moment', () => {
    fc.assert(
      fc.property(anything, (options) => {
        expect(afterFailure(options)).toEqual(afterFailure({ ...options }));
      }),
    );
  });
});
