import { expect, it } from 'vitest';
import { itemsToLease } from './lease-ahead.ts';

const quick = { record_seconds: 0.005, seen: 100_000 };

it('leases one item for each idle slot while the work is slow', () => {
  expect(itemsToLease({ ...quick, pace: 0, idle: 4, coming: 0 })).toBe(4);
  expect(itemsToLease({ ...quick, pace: 2, idle: 4, coming: 1 })).toBe(3);
  expect(itemsToLease({ ...quick, pace: 2, idle: 0, coming: 0 })).toBe(0);
});

it('leases a third of a second ahead when the work is fast', () => {
  expect(itemsToLease({ ...quick, pace: 1_000, idle: 0, coming: 0 })).toBe(350);
});

it('fetches nothing while more than half of what it wants ahead is there or asked for', () => {
  expect(itemsToLease({ ...quick, pace: 1_000, idle: 0, coming: 175 })).toBe(0);
  expect(itemsToLease({ ...quick, pace: 1_000, idle: 0, coming: 174 })).toBe(176);
});

it('believes no pace that a few items have shown', () => {
  expect(itemsToLease({ ...quick, seen: 4, pace: 10_000, idle: 0, coming: 0 })).toBe(16);
});

it('finds its pace however slow the disk is', () => {
  // A commit takes half a second, and the handlers could do far more than what one brings.
  let [pace, rounds] = [8, 0];
  for (; pace < 1_000 && rounds < 20; rounds += 1) {
    pace = itemsToLease({ pace, seen: 100_000, record_seconds: 0.5, idle: 4, coming: 0 }) / 0.5;
  }
  expect(pace).toBeGreaterThanOrEqual(1_000);
});

it('never asks for more than four thousand at once, nor holds more than eight thousand ahead', () => {
  expect(itemsToLease({ ...quick, pace: 1_000_000, idle: 16, coming: 0 })).toBe(4_000);
  expect(itemsToLease({ ...quick, pace: 1_000_000, idle: 0, coming: 8_000 })).toBe(0);
});
