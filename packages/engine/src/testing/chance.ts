import type { Chance } from '../ports/clock.ts';

/** Chance that can be replayed: equal seeds give equal numbers. */
export type SeededChance = Chance & {
  /** An integer from 0 up to, not including, `end`. */
  below(end: number): number;
  /** One of the values. */
  pick<T>(values: readonly [T, ...T[]] | readonly T[]): T;
  /** True this often (0–1). */
  often(share: number): boolean;
};

/**
 * A 32-bit generator: a counter that steps by an odd number, its bits mixed by shifts and
 * multiplications until neighbours have nothing in common. Good enough to pick faults, not for keys.
 */
export function createSeededChance(seed: number): SeededChance {
  let counter = Math.imul(seed, 0x9e3779b1) | 0;
  const next = () => {
    counter = (counter + 0x61c88647) | 0;
    let bits = counter;
    bits = Math.imul(bits ^ (bits >>> 16), 0x45d9f3b);
    bits = Math.imul(bits ^ (bits >>> 15), 0x2c1b3c6d);
    return (bits ^ (bits >>> 16)) >>> 0;
  };
  const random = () => next() / 2 ** 32;
  const below = (end: number) => Math.floor(random() * end);
  return {
    random,
    bytes: (count) => Uint8Array.from({ length: count }, () => next() & 0xff),
    below,
    pick<T>(values: readonly T[]): T {
      if (values.length === 0) throw new Error('Nothing to pick from.');
      return values[below(values.length)] as T; // in bounds: the list is not empty
    },
    often: (share) => random() < share,
  };
}
