import { expect, it } from 'vitest';
import { exactTime } from './time.ts';

it.each([
  [3_600_000, '1 h'],
  [9_000_000, '150 min'],
  [150_000, '150 s'],
  [1_000, '1 s'],
  [2_500, '2500 ms'],
  [100, '100 ms'],
  [0, '0 ms'],
])('says %d ms exactly, as %s', (ms, text) => {
  expect(exactTime(ms)).toBe(text);
});
