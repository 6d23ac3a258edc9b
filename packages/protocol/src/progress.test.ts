import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { estimateRemaining, etaText, percentComplete } from './progress.ts';

describe('percent complete', () => {
  it.each([
    [0, 0, 100],
    [0, 10, 0],
    [1, 3, 33.3],
    [2, 3, 66.6],
    [9_999, 10_000, 99.9],
    [9_999_999, 10_000_000, 99.9],
    [10, 10, 100],
    [1, 10_000_000, 0],
  ])('of %i of %i is %d', (finished, total, expected) => {
    expect(percentComplete(finished, total)).toBe(expected);
  });

  it('reads 100 only at the end, never less than 0, with one decimal at most', () => {
    fc.assert(
      fc.property(fc.nat(10_000_000), fc.integer({ min: 1, max: 10_000_000 }), (finished, total) => {
        const percent = percentComplete(Math.min(finished, total), total);
        expect(percent === 100).toBe(finished >= total);
        expect(percent).toBeGreaterThanOrEqual(0);
        expect(percent).toBeCloseTo(Math.round(percent * 10) / 10, 10);
      }),
    );
  });

  it('never falls while items finish', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5_000 }), (total) => {
        const all = Array.from({ length: total + 1 }, (_, finished) => percentComplete(finished, total));
        expect(all).toEqual([...all].sort((a, b) => a - b));
      }),
      { numRuns: 30 },
    );
  });
});

describe('the time left', () => {
  it('is hidden while too little was seen', () => {
    const seen = (items: number, ms: number) =>
      estimateRemaining({ remaining: 100, overall: { items, ms }, recent: null });
    expect(seen(0, 0)).toBeNull();
    expect(seen(19, 9_999)).toBeNull();
    expect(seen(20, 9_999)).not.toBeNull();
    expect(seen(19, 10_000)).not.toBeNull();
    expect(seen(0, 60_000)).toBeNull();
    expect(seen(50, 0)).toBeNull();
  });

  it('is not known of a batch that goes on with nothing left to do: it waits for more items', () => {
    const overall = { items: 100, ms: 60_000 };
    expect(estimateRemaining({ remaining: 0, overall, recent: null })).toBeNull();
    expect(estimateRemaining({ remaining: -1, overall, recent: null })).toBeNull();
  });

  it('believes no pace that is faster than its rate limit: the first items start all at once', () => {
    const options = { remaining: 100, overall: { items: 20, ms: 100 }, recent: null, spread: 0 };
    const left = (items: number) => estimateRemaining({ ...options, fastest: { items, ms: 1_000 } });
    expect(left(10)).toEqual({ low: 10_000, high: 10_000 });
    expect(left(1_000)).toEqual(estimateRemaining(options));
  });

  it('is a range around the pace seen, narrower as more is known', () => {
    const left = (items: number) =>
      estimateRemaining({ remaining: 100, overall: { items, ms: items * 1_000 }, recent: null });
    const little = left(20);
    const much = left(10_000);
    for (const eta of [little, much]) {
      expect(eta?.low).toBeLessThan(100_000);
      expect(eta?.high).toBeGreaterThan(100_000);
    }
    expect((much?.high ?? 0) - (much?.low ?? 0)).toBeLessThan((little?.high ?? 0) - (little?.low ?? 0));
  });

  it('follows the recent pace more, the further the batch is', () => {
    const recent = { items: 100, ms: 10_000 };
    const early = estimateRemaining({ remaining: 9_000, overall: { items: 1_000, ms: 1_000_000 }, recent });
    const late = estimateRemaining({ remaining: 1_000, overall: { items: 9_000, ms: 9_000_000 }, recent });
    expect((early?.high ?? 0) / 9_000).toBeGreaterThan((late?.high ?? 0) / 1_000);
  });

  it('is finite, ordered and never negative', () => {
    const pace = fc.record({ items: fc.nat(10_000_000), ms: fc.nat(1_000_000_000) });
    fc.assert(
      fc.property(fc.nat(10_000_000), pace, fc.option(pace), (remaining, overall, recent) => {
        const eta = estimateRemaining({ remaining, overall, recent });
        if (eta === null) return;
        expect(Number.isFinite(eta.low) && Number.isFinite(eta.high)).toBe(true);
        expect(eta.low).toBeGreaterThanOrEqual(0);
        expect(eta.high).toBeGreaterThanOrEqual(eta.low);
      }),
    );
  });
});

describe('the time left in words', () => {
  it.each([
    [null, null],
    [{ low: 0, high: 0 }, '~1 s'],
    [{ low: 900, high: 1_400 }, '~1 s'],
    [{ low: 20_000, high: 30_001 }, '~31 s'],
    [{ low: 30_000, high: 61_000 }, '~1 min'],
    [{ low: 660_000, high: 780_000 }, '~11–13 min'],
    [{ low: 5_000_000, high: 7_300_000 }, '~1–2 h'],
    [{ low: 36_000_000, high: 36_100_000 }, '~10 h'],
  ])('for %j is %j', (eta, expected) => {
    expect(etaText(eta)).toBe(expected);
  });
});
