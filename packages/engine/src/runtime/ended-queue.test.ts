import { expect, it } from 'vitest';
import type { Ended } from './attempt.ts';
import { createEndedQueue } from './ended-queue.ts';
import { MAX_OUTCOMES, MAX_TEXT } from './recorder.ts';

// Only what the queue looks at.
const ended = (length: number) => ({ result: 'x'.repeat(length), log: null }) as Ended;

it('gives a commit of small results by their count', () => {
  const queue = createEndedQueue();
  for (let n = 0; n < MAX_OUTCOMES + 5; n += 1) queue.push(ended(1));
  expect(queue.isFull).toBe(true);
  expect(queue.take()).toHaveLength(MAX_OUTCOMES);
  expect([queue.length, queue.isFull]).toEqual([5, false]);
});

it('gives a commit of large results by their size, and one at least', () => {
  const queue = createEndedQueue();
  for (let n = 0; n < 5; n += 1) queue.push(ended(MAX_TEXT / 2));
  expect([queue.isFull, queue.isCrowded]).toEqual([true, true]);
  expect(queue.take()).toHaveLength(2);
  queue.clear();
  expect([queue.length, queue.isFull]).toEqual([0, false]);
  queue.push(ended(MAX_TEXT + 1));
  expect(queue.take()).toHaveLength(1);
});
