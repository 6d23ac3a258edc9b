import type { CreateBatch } from '@sheaf/protocol';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { until } from '../src/testing/until.ts';
import { createLedger, waits } from './engine/ledger.ts';
import { countsOf, numbered, shareWorld } from './engine/world.ts';

const QUICK = { base_ms: 0, max_ms: 0 };

/** Items up to `good` pass, all others fail. */
const picky = createLedger({
  name: 'picky',
  config: z.strictObject({ good: z.int().default(0) }),
  run({ seq }, { config }) {
    if (seq > Number(config.good)) throw new Error('no good');
  },
});
const gated = createLedger({ name: 'gated', run: waits });
const world = shareWorld({ processors: [picky, gated].map((ledger) => ledger.processor) });

const make = (batch: CreateBatch) =>
  world.make({ processor: 'picky', max_attempts: 1, backoff: QUICK, concurrency: 4, ...batch });

async function paused(batch: { id: string }, reason: string) {
  await until(`it is paused for ${reason}`, async () => (await world.get(batch)).pause_reason === reason);
  return world.get(batch);
}

describe('a canary', () => {
  it('runs the first items and waits for approval', async () => {
    const batch = await make({ items: numbered(40), config: { good: 40 }, canary: { items: 5 } });
    expect(countsOf(await paused(batch, 'canary'))).toEqual({
      status: 'paused',
      completed_items: 5,
      pending_items: 35,
    });
    await world.engine.approve({ batch_id: batch.id });
    expect(countsOf(await world.end(batch))).toEqual({ status: 'completed', completed_items: 40 });
  });

  it('goes on by itself when enough of them pass', async () => {
    const batch = await make({
      items: numbered(40),
      config: { good: 4 },
      canary: { items: 5, min_pass_percent: 80 },
    });
    expect(countsOf(await world.end(batch))).toMatchObject({ completed_items: 4, failed_items: 36 });
    const events = await world.engine.events({ batch_id: batch.id, since: 0 });
    expect(events.some((event) => event.type === 'batch_status' && event.status === 'paused')).toBe(false);
  });

  it('stops when too few of them pass, and resume is an answer, too', async () => {
    const batch = await make({
      items: numbered(40),
      config: { good: 3 },
      canary: { items: 5, min_pass_percent: 80 },
    });
    expect(countsOf(await paused(batch, 'canary'))).toMatchObject({ completed_items: 3, failed_items: 2 });
    await world.engine.resume({ batch_id: batch.id });
    expect(countsOf(await world.end(batch))).toMatchObject({ completed_items: 3, failed_items: 37 });
  });

  it('is none for a batch that is no longer than it', async () => {
    const batch = await make({ items: numbered(5), config: { good: 5 }, canary: { items: 5 } });
    expect(countsOf(await world.end(batch))).toEqual({ status: 'completed', completed_items: 5 });
  });

  it('is not skipped by a pause and resume of a user', async () => {
    const batch = await world.make({
      processor: 'gated',
      items: numbered(10),
      canary: { items: 2 },
      concurrency: 4,
    });
    await until('the canary runs', () => gated.atWork === 2);
    await world.engine.pause({ batch_id: batch.id });
    await world.engine.resume({ batch_id: batch.id });
    gated.open();
    expect((await paused(batch, 'canary')).completed_items).toBe(2);
    await world.engine.cancel({ batch_id: batch.id });
  });
});

describe('a failure budget', () => {
  it('pauses a batch once that many items have failed, with no more than what ran', async () => {
    const batch = await make({ items: numbered(500), failure_budget: { count: 10 } });
    const held = await paused(batch, 'failure_budget');
    await until('nothing runs any more', async () => (await world.get(batch)).running_items === 0);
    expect(held.failed_items).toBeGreaterThanOrEqual(10);
    expect((await world.get(batch)).failed_items).toBeLessThan(500);
    await world.engine.cancel({ batch_id: batch.id });
  });

  it('of a share waits for its warm-up', async () => {
    const batch = await make({
      items: numbered(30),
      failure_budget: { percent: 20 },
    });
    // Fifty finished items are its usual warm-up; thirty never get there.
    expect(countsOf(await world.end(batch))).toEqual({ status: 'failed', failed_items: 30 });
    const other = await make({ items: numbered(3_000), failure_budget: { percent: 20, min_items: 5 } });
    expect((await paused(other, 'failure_budget')).failed_items).toBeGreaterThanOrEqual(5);
    await world.engine.cancel({ batch_id: other.id });
  });

  it('begins anew when the batch is resumed', async () => {
    const batch = await make({ items: numbered(2_000), failure_budget: { count: 10 } });
    const first = await paused(batch, 'failure_budget');
    await until('nothing runs any more', async () => (await world.get(batch)).running_items === 0);
    await world.engine.resume({ batch_id: batch.id });
    await until(
      'more have failed',
      async () => (await world.get(batch)).failed_items >= first.failed_items + 10,
    );
    await paused(batch, 'failure_budget');
    await world.engine.cancel({ batch_id: batch.id });
  });

  it('does not count attempts that another one follows', async () => {
    const batch = await make({ items: numbered(8), max_attempts: 2, failure_budget: { count: 9 } });
    expect(countsOf(await world.end(batch))).toEqual({ status: 'failed', failed_items: 8 });
  });
});

describe('approval', () => {
  it('is waited for, and starts the batch', async () => {
    const batch = await make({ items: numbered(3), config: { good: 3 }, requires_approval: true });
    expect(batch.status).toBe('awaiting_approval');
    expect((await world.engine.approve({ batch_id: batch.id, by: 'anna' })).status).toBe('queued');
    await world.end(batch);
    expect(
      (await world.engine.events({ batch_id: batch.id, since: 0 })).map((event) => event.type),
    ).toContain('batch_status');
    await expect(world.engine.approve({ batch_id: batch.id })).rejects.toMatchObject({
      code: 'wrong_status',
    });
  });

  it('that is refused ends the batch as cancelled', async () => {
    const batch = await make({ items: numbered(3), requires_approval: true });
    const target = { batch_id: batch.id };
    expect(countsOf(await world.engine.reject(target))).toEqual({ status: 'cancelled', cancelled_items: 3 });
    expect((await world.engine.reject(target)).status).toBe('cancelled');
    await expect(world.engine.approve(target)).rejects.toMatchObject({ code: 'wrong_status' });
  });

  it('cannot be refused once it was given', async () => {
    const batch = await make({ items: [], requires_approval: true });
    await world.engine.approve({ batch_id: batch.id });
    await expect(world.engine.reject({ batch_id: batch.id })).rejects.toMatchObject({ code: 'wrong_status' });
  });
});

describe('merging', () => {
  it('moves what has not run into a new draft, and leaves outcomes where they are', async () => {
    const done = await world.end(await make({ items: numbered(4), config: { good: 4 } }));
    const one = await make({ items: numbered(3), config: { good: 4 }, start: false });
    const two = await make({ items: numbered(2), config: { good: 4 }, start: false });
    const merged = await world.engine.merge({ batch_ids: [one.id, two.id, done.id], name: 'together' });
    expect(merged).toMatchObject({ status: 'draft', name: 'together', total_items: 5 });
    expect(await world.get(one)).toMatchObject({ merged_into: merged.id, cancelled_items: 3 });
    expect((await world.get(done)).completed_items).toBe(4);
    await world.engine.start({ batch_id: merged.id });
    await world.end(merged);
  });

  it.each([[[]], [['bat_00000000000000000000000000', 'bat_00000000000000000000000000']]])(
    'of %j is refused',
    async (batchIds) => {
      await expect(world.engine.merge({ batch_ids: batchIds })).rejects.toMatchObject({
        code: expect.stringMatching(/^(invalid|not_found)$/),
      });
    },
  );

  it('of different processors or of running batches is refused, and changes nothing', async () => {
    const one = await make({ items: numbered(3), start: false });
    const other = await world.make({ items: numbered(3), start: false });
    await expect(world.engine.merge({ batch_ids: [one.id, other.id] })).rejects.toMatchObject({
      code: 'invalid',
    });
    const running = await make({ items: numbered(2), requires_approval: true });
    await expect(world.engine.merge({ batch_ids: [one.id, running.id] })).rejects.toMatchObject({
      code: 'wrong_status',
    });
    expect(countsOf(await world.get(one))).toEqual({ status: 'draft', pending_items: 3 });
  });
});

describe('cleaning up', () => {
  it('removes what ended long enough ago, and nothing else', async () => {
    const done = await world.end(await make({ items: numbered(2), config: { good: 2 } }));
    const draft = await make({ items: numbered(2), start: false });
    expect((await world.engine.cleanup({ days_old: 1 })).cleaned_count).toBe(0);
    const { cleaned_count, days_old } = await world.engine.cleanup({ days_old: 0 });
    expect(cleaned_count).toBeGreaterThan(0);
    expect(days_old).toBe(0);
    await expect(world.get(done)).rejects.toMatchObject({ code: 'not_found' });
    expect((await world.get(draft)).status).toBe('draft');
  });

  it.each([-1, Number.NaN, 1.5, Number.POSITIVE_INFINITY])('of %d days is refused', async (daysOld) => {
    const done = await world.end(await make({ items: [] }));
    await expect(world.engine.cleanup({ days_old: daysOld })).rejects.toMatchObject({ code: 'invalid' });
    expect((await world.get(done)).status).toBe('completed');
  });
});
