import { expect, test } from 'vitest';
import { createRowLength, rowFrom } from './row-length.ts';

test('hands over one item until it is known that they are fast, then several', () => {
  const rows = createRowLength({ isSingle: false });
  expect(rows.most).toBe(1);
  rows.ended(1);
  expect(rows.most).toBe(5);
  for (let count = 0; count < 100; count += 1) rows.ended(0);
  expect(rows.most).toBe(64);
});

test('hands over one item at once when one was slow', () => {
  const rows = createRowLength({ isSingle: false });
  for (let count = 0; count < 100; count += 1) rows.ended(0);
  rows.ended(200);
  expect(rows.most).toBe(1);
});

test('hands over one item always where it was told so', () => {
  const rows = createRowLength({ isSingle: true });
  for (let count = 0; count < 100; count += 1) rows.ended(0);
  expect(rows.most).toBe(1);
});

test('a row holds items of one config, and leaves the other slots their part', () => {
  const queue = [1, 1, 1, 2, 2, 2].map((configNo, seq) => ({ config_no: configNo, seq }));
  const seqs = (from: number, most: number, slots: number) =>
    rowFrom(queue, from, { most, slots }).map(({ seq }) => seq);
  expect(seqs(0, 10, 1)).toEqual([0, 1, 2]);
  expect(seqs(0, 10, 3)).toEqual([0, 1]);
  expect(seqs(2, 10, 1)).toEqual([2]);
  expect(seqs(3, 2, 1)).toEqual([3, 4]);
  expect(seqs(5, 1, 8)).toEqual([5]);
});
