import type { Clock } from '../ports/clock.ts';

/** A clock that stands still until it is told to go. */
export type FakeClock = Clock & {
  /** Moves on and answers the new time. */
  advance(ms: number): number;
};

/** @param start Milliseconds since 1970. @default noon of some day, far from a change of date */
export function createFakeClock(start = Date.UTC(2026, 10, 5, 12)): FakeClock {
  let at = start;
  return {
    now: () => at,
    advance(ms) {
      at += ms;
      return at;
    },
  };
}
