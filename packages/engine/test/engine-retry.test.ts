import type { Batch } from '@sheaf/protocol';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { until } from '../src/testing/until.ts';
import { createLedger, waits } from './engine/ledger.ts';
import { countsOf, numbered, shareWorld } from './engine/world.ts';

const QUICK = { base_ms: 0, max_ms: 0 };
const LONG = { base_ms: 600_000, max_ms: 600_000 };

/** Items fail by their number, with two causes, until `mended` is in the config. */
const picky = createLedger({
  name: 'picky',
  config: z.strictObject({ mended: z.boolean().default(false), size: z.int().min(1).default(5) }),
  run({ seq }, { config }) {
    if (config.mended === true) return config;
    if (seq % 2 === 0)
      throw Object.assign(new Error(`No colour profile in picture-${seq}.png`), { code: 'no_profile' });
    if (seq % 3 === 0) throw new Error(`Cannot read line ${seq}`);
    return config;
  },
});
const once = createLedger({
  name: 'once',
  run({ attempt }) {
    if (attempt === 1) throw new Error('not at first');
  },
});
const gated = createLedger({ name: 'gated', run: waits });
const world = shareWorld({ processors: [picky, once, gated].map((ledger) => ledger.processor) });

/** Twelve items: six without a profile, two unreadable, four fine. */
async function picked(): Promise<Batch> {
  const batch = await world.make({
    processor: 'picky',
    config: { size: 7 },
    items: numbered(12),
    max_attempts: 1,
    backoff: QUICK,
  });
  const ended = await world.end(batch);
  expect(countsOf(ended)).toEqual({ status: 'partially_completed', completed_items: 4, failed_items: 8 });
  return ended;
}

const attemptOf = async ({ id }: { id: string }, seq: number) =>
  (await world.engine.item({ batch_id: id, seq })).attempt;

describe('retrying', () => {
  it('takes all failed items when none are named, and touches no other', async () => {
    const batch = await picked();
    const answer = await world.engine.retry({ batch_id: batch.id });
    expect(answer).toMatchObject({ retried: 8, batch: { status: 'queued', round: 2, pending_items: 8 } });
    expect(countsOf(await world.end(batch))).toEqual({
      status: 'partially_completed',
      completed_items: 4,
      failed_items: 8,
    });
    expect(await attemptOf(batch, 1)).toBe(1);
    expect(await attemptOf(batch, 2)).toBe(2);
    const item = await world.engine.item({ batch_id: batch.id, seq: 2 });
    expect(item.attempts).toMatchObject([{ attempt: 1, error: { code: 'no_profile' } }]);
  });

  it('takes only the items that are named', async () => {
    const batch = await picked();
    const { retried } = await world.engine.retry({ batch_id: batch.id, items: [2, 3] });
    expect(retried).toBe(2);
    await world.end(batch);
    expect(await Promise.all([2, 3, 4, 9].map((seq) => attemptOf(batch, seq)))).toEqual([2, 2, 1, 1]);
  });

  it('takes the items of one cause, by its fingerprint or by its code', async () => {
    const batch = await picked();
    const causes = await world.engine.causes({ batch_id: batch.id });
    expect(causes.map(({ cause, count }) => [cause, count])).toEqual([
      ['no_profile: No colour profile in <name>', 6],
      ['error: Cannot read line <n>', 2],
    ]);
    const target = { batch_id: batch.id };
    expect(await world.engine.retry({ ...target, cause: causes[1]?.cause ?? '' })).toMatchObject({
      retried: 2,
    });
    await world.end(batch);
    expect(await world.engine.retry({ ...target, cause: 'no_profile' })).toMatchObject({ retried: 6 });
    await world.end(batch);
    expect(await world.engine.retry({ ...target, cause: 'of nobody' })).toMatchObject({ retried: 0 });
    expect((await world.get(batch)).round).toBe(3);
  });

  it('merges a config over that of the batch, checked by the processor, and keeps it for these items only', async () => {
    const batch = await picked();
    const target = { batch_id: batch.id };
    await expect(world.engine.retry({ ...target, config: { size: 0 } })).rejects.toMatchObject({
      code: 'invalid',
      details: { errors: [{ pointer: '/config/size' }] },
    });
    await expect(world.engine.retry({ ...target, config: { colour: 1 } })).rejects.toMatchObject({
      details: { errors: [{ pointer: '/config/colour', code: 'unknown_field' }] },
    });
    expect((await world.get(batch)).status).toBe('partially_completed');
    await world.engine.retry({ ...target, items: [2], config: { mended: true } });
    const ended = await world.end(batch);
    expect(ended).toMatchObject({ failed_items: 7, config: { mended: false, size: 7 } });
    expect((await world.engine.item({ ...target, seq: 2 })).result).toEqual({ mended: true, size: 7 });
    await world.engine.retry({ ...target, items: [4] });
    await world.end(batch);
    expect((await world.engine.item({ ...target, seq: 4 })).status).toBe('failed');
  });

  it('pressed fifty times counts one attempt', async () => {
    const batch = await picked();
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => world.engine.retry({ batch_id: batch.id, cause: 'no_profile' })),
    );
    const { round } = await world.end(batch);
    const retried = answers.map((answer) => answer.retried).filter((count) => count > 0);
    // An answer may find items that failed again meanwhile; each round is an attempt of its own.
    expect(retried).toHaveLength(round - 1);
    expect(await attemptOf(batch, 2)).toBe(round);
  });

  it('gives as many attempts as the batch allows, anew', async () => {
    const batch = await world.make({
      processor: 'picky',
      items: numbered(2),
      max_attempts: 3,
      backoff: QUICK,
    });
    await world.end(batch);
    expect(await attemptOf(batch, 2)).toBe(3);
    await world.engine.retry({ batch_id: batch.id });
    await world.end(batch);
    expect(await attemptOf(batch, 2)).toBe(6);
    const { attempts } = await world.engine.item({ batch_id: batch.id, seq: 2 });
    expect(attempts.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4, 5]);
  });

  it('refuses items that are completed, pending, running or not there', async () => {
    const batch = await world.make({ processor: 'gated', items: numbered(4), concurrency: 1 });
    const retry = (items: number[]) => world.engine.retry({ batch_id: batch.id, items });
    await until('one runs', () => gated.atWork === 1);
    gated.release(1);
    await until('the second one runs', () => gated.starts.length === 2);
    await until('the first is recorded', async () => (await world.get(batch)).completed_items === 1);
    for (const seq of [1, 2, 4]) await expect(retry([seq])).rejects.toMatchObject({ code: 'wrong_status' });
    await expect(retry([5])).rejects.toMatchObject({ code: 'not_found' });
    await expect(retry([])).rejects.toMatchObject({ code: 'invalid' });
    await expect(retry([1.5])).rejects.toMatchObject({ code: 'invalid' });
    gated.open();
    expect((await world.end(batch)).completed_items).toBe(4);
    expect(gated.starts).toHaveLength(4);
  });

  it('wakes an item that waits for its next attempt, without giving it another one', async () => {
    const batch = await world.make({ processor: 'once', items: numbered(2), max_attempts: 2, backoff: LONG });
    await until('both wait', () => once.starts.length === 2);
    await until('both are recorded', async () => {
      const { data } = await world.engine.items({ batch_id: batch.id, after: 0, limit: 2 });
      return data.every(({ retry_at }) => retry_at !== null);
    });
    await world.engine.retry({ batch_id: batch.id, items: [1, 2] });
    expect(countsOf(await world.end(batch))).toEqual({ status: 'completed', completed_items: 2 });
    expect([once.runsOf(1), once.runsOf(2)]).toEqual([2, 2]);
  });

  it('works while the batch runs, for what has failed so far', async () => {
    const batch = await world.make({ processor: 'picky', items: numbered(2), max_attempts: 1, open: true });
    await until('the second has failed', async () => (await world.get(batch)).failed_items === 1);
    const answer = await world.engine.retry({ batch_id: batch.id, config: { mended: true } });
    expect(answer).toMatchObject({ retried: 1, batch: { round: 1 } });
    await world.engine.seal({ batch_id: batch.id });
    expect(countsOf(await world.end(batch))).toEqual({ status: 'completed', completed_items: 2 });
  });

  it('of a cancelled batch takes what was cancelled, too', async () => {
    const batch = await world.make({ items: numbered(5), requires_approval: true });
    await world.engine.cancel({ batch_id: batch.id });
    const answer = await world.engine.retry({ batch_id: batch.id });
    expect(answer.retried).toBe(5);
    // It was never approved, so it asks still.
    expect(answer.batch.status).toBe('awaiting_approval');
    await world.engine.approve({ batch_id: batch.id });
    expect(countsOf(await world.end(batch))).toEqual({ status: 'completed', completed_items: 5 });
  });

  it('of a completed batch changes nothing', async () => {
    const batch = await world.end(await world.make({ items: numbered(2) }));
    const answer = await world.engine.retry({ batch_id: batch.id });
    expect(answer).toMatchObject({ retried: 0, batch: { status: 'completed', round: 1 } });
  });
});
