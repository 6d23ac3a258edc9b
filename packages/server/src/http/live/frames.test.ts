import type { LiveEvent } from '@sheaf/protocol';
import { describe, expect, it } from 'vitest';
import { createFrames } from './frames.ts';
import { createPace } from './pace.ts';

const ended = (count: number, batchId = 'bat_a'): LiveEvent => ({
  type: 'batch_jobs_complete',
  batch_id: batchId,
  jobs: Array.from({ length: count }, (_, at) => ({
    job_id: `${batchId}/${at}`,
    success: true,
    result: null,
  })),
});

describe('frames of ended items', () => {
  it('are one an item up to three hundred a second, then one for all, and alone again a second later', () => {
    let now = 0;
    const frames = createFrames(() => now);
    const counts = [100, 200, 1, 50].map((count) => frames(ended(count)).length);
    expect(counts).toEqual([100, 200, 1, 1]);
    expect(frames(ended(3, 'bat_b'))).toHaveLength(3);
    now = 1_000;
    expect(frames(ended(50))).toHaveLength(50);
  });

  it('leave times within a result as they are', () => {
    const frames = createFrames(() => 0);
    const [frame] = frames({
      type: 'batch_jobs_complete',
      batch_id: 'b',
      jobs: [{ job_id: 'b/1', success: true, result: { at: 5 } }],
    });
    expect(JSON.parse(String(frame?.text))).toEqual({
      type: 'batch_job_complete',
      batch_id: 'b',
      job_id: 'b/1',
      success: true,
      result: { at: 5 },
    });
  });
});

describe('pace', () => {
  it('allows a burst, then so many a second', () => {
    let now = 0;
    const isTooFast = createPace({ per_second: 10, burst: 3, now: () => now });
    expect([1, 2, 3, 4].map(isTooFast)).toEqual([false, false, false, true]);
    now = 5_000;
    expect(isTooFast()).toBe(false);
  });
});
