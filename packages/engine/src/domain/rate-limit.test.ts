import { DEFAULT_POLICIES, type RateLimit } from '@sheaf/protocol';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { addStarts, type HeldBatch, type Starts, startsAllowed, waitForRate } from './rate-limit.ts';

const limit: RateLimit = { items: 10, per_ms: 1_000 };

it('allows the whole limit at once, and then nothing until the stretch is over', () => {
  const starts = addStarts(limit, [], 10, 5_000);
  expect(startsAllowed(limit, [], 5_000)).toEqual({ items: 10, next_at: 5_000 });
  expect(startsAllowed(limit, starts, 5_999)).toEqual({ items: 0, next_at: 6_000 });
  expect(startsAllowed(limit, starts, 6_000)).toEqual({ items: 10, next_at: 6_000 });
});

it('lets no more come than came a stretch ago', () => {
  const starts = addStarts(limit, addStarts(limit, [], 3, 5_000), 7, 5_600);
  expect(startsAllowed(limit, starts, 5_700)).toEqual({ items: 0, next_at: 6_000 });
  expect(startsAllowed(limit, starts, 6_100)).toMatchObject({ items: 3 });
  expect(startsAllowed(limit, addStarts(limit, starts, 3, 6_100), 6_200)).toEqual({
    items: 0,
    next_at: 6_600,
  });
});

it('waits until enough is forgotten when the limit was lowered', () => {
  const starts = addStarts(limit, addStarts(limit, [], 4, 5_000), 6, 5_600);
  expect(startsAllowed({ ...limit, items: 5 }, starts, 5_700)).toEqual({ items: 0, next_at: 6_600 });
});

it('is not held up by a clock that was set back', () => {
  const starts = addStarts(limit, [], 10, 3_600_000);
  expect(startsAllowed(limit, starts, 3_599_999)).toEqual({ items: 0, next_at: 3_601_000 });
  expect(startsAllowed(limit, starts, 5_000)).toMatchObject({ items: 10 });
});

it('remembers little, however fast items start', () => {
  const fast: RateLimit = { items: 1_000_000, per_ms: 60_000 };
  let starts: Starts = [];
  for (let now = 0; now < 120_000; now += 10) starts = addStarts(fast, starts, 100, now);
  expect(starts.length).toBeLessThanOrEqual(33);
});

it('never lets more start in any stretch, and wastes no more than a thirtieth of it', () => {
  const limits = fc.record({
    items: fc.integer({ min: 1, max: 50 }),
    per_ms: fc.integer({ min: 100, max: 5_000 }),
  });
  /** A wait in shares of the stretch, or until the next start is allowed; how many would start then; how late the clock was read. */
  const wait = fc.option(fc.double({ min: 0, max: 0.2, noNaN: true }));
  const lag = fc.constantFrom(0, 0, 0.05);
  const steps = fc.array(fc.tuple(wait, fc.nat(60), lag), { minLength: 100, maxLength: 300 });
  fc.assert(
    fc.property(limits, steps, (some, moments) => {
      const log: { at: number; count: number }[] = [];
      const between = (from: number, to: number) =>
        log.filter(({ at }) => at > from && at <= to).reduce((sum, { count }) => sum + count, 0);
      let starts: Starts = [];
      let time = 1_000_000;
      for (const [share, wanted, behind] of moments) {
        const now = time - Math.floor(behind * some.per_ms);
        const { items, next_at } = startsAllowed(some, starts, now);
        if (items === 0) {
          const grain = some.per_ms / 30;
          expect(between(now - some.per_ms - grain, Infinity)).toBeGreaterThanOrEqual(some.items);
          expect(next_at).toBeGreaterThan(now);
        }
        const count = Math.min(items, wanted);
        if (count > 0) {
          starts = addStarts(some, starts, count, now);
          // Who has read the clock before another one's lease, and leases after it, starts after it.
          log.push({ at: Math.max(now, log.at(-1)?.at ?? now), count });
        }
        for (const { at } of log.slice(-10))
          expect(between(at - some.per_ms, at)).toBeLessThanOrEqual(some.items);
        time = share === null ? Math.max(time, next_at) : time + Math.floor(share * some.per_ms);
      }
    }),
  );
});

const batch: HeldBatch = {
  status: 'running',
  policies: { ...DEFAULT_POLICIES, rate_limit: { items: 60, per_ms: 3_600_000 } },
  next_start_at: 1_000_000,
  pending_items: 5,
  running_items: 0,
};

it('says why a batch stands still and for how long', () => {
  expect(waitForRate(batch, 1_000_000 - 2_500_000)).toBe(
    'At its rate limit of 60 in 1 h; goes on in 42 min.',
  );
  expect(waitForRate(batch, 1_000_000 - 9_001)).toBe('At its rate limit of 60 in 1 h; goes on in 10 s.');
});

it.each<[string, Partial<HeldBatch>, number]>([
  ['items run', { running_items: 1 }, 60_000],
  ['nothing is left to start', { pending_items: 0 }, 60_000],
  ['it goes on in a moment', {}, 1_999],
  ['the time is past', {}, -5],
  ['the limit is not used up', { next_start_at: null }, 60_000],
  ['the limit was lifted', { policies: DEFAULT_POLICIES }, 60_000],
  ['the clock was set back', {}, 3_600_001],
  ['it is paused', { status: 'paused' }, 60_000],
])('says nothing while %s', (_, fields, wait) => {
  expect(waitForRate({ ...batch, ...fields }, 1_000_000 - wait)).toBeNull();
});
