import { describe, expect, it } from 'vitest';
import { permanent, retryAfter } from '../src/define-processor.ts';
import { until } from '../src/testing/until.ts';
import { createLedger, takes } from './engine/ledger.ts';
import { countsOf, numbered, shareWorld } from './engine/world.ts';

const QUICK = { base_ms: 0, max_ms: 0 };

/** Every third item fails on its first try, every tenth on each. */
const moody = createLedger({
  name: 'moody',
  run({ seq, attempt }) {
    if (seq % 10 === 0) throw new Error(`item ${seq} is bad`);
    if (seq % 3 === 0 && attempt === 1) throw new Error(`item ${seq} is slow to begin`);
    return { seq };
  },
});
const hopeless = createLedger({
  name: 'hopeless',
  run({ seq }) {
    throw seq === 1 ? permanent('It will never work.', 'unsupported') : new Error('not yet');
  },
});
const patient = createLedger({
  name: 'patient',
  run({ attempt }) {
    if (attempt === 1) throw retryAfter(300, 'come back later', 'quota');
    return null;
  },
});
const slow = createLedger({ name: 'slow', run: takes(60_000) });
const stubborn = createLedger({
  name: 'stubborn',
  // Does not listen to its signal: it can only be waited for.
  run: () => new Promise((resolve) => setTimeout(resolve, 400, { ok: true })),
});
const talker = createLedger({
  name: 'talker',
  run({ seq }, context) {
    context.log(`item ${seq} begins`);
    context.metric('pixels', seq * 10);
    context.log('\u001b[31mred\u001b[0m');
    if (seq === 3) throw new Error('no more words');
    return { seq, list: [1, null, 'ü'] };
  },
});
const returning = createLedger({
  name: 'returning',
  run: ({ input }) => {
    switch (input) {
      case 'bigint':
        return 1n;
      case 'circle': {
        const circle: { self?: unknown } = {};
        circle.self = circle;
        return circle;
      }
      case 'huge':
        return 'x'.repeat(300_000);
      case 'null thrown':
        throw null;
      case 'text thrown':
        throw 'just a text';
      case 'nothing':
        return undefined;
      default:
        return input;
    }
  },
});
const ledgers = [moody, hopeless, patient, slow, stubborn, talker, returning];
const world = shareWorld({ processors: ledgers.map((ledger) => ledger.processor) });

describe('running a batch', () => {
  it('adds up for 10,000 items with failures and retries, each result recorded once', async () => {
    const batch = await world.make({
      processor: 'moody',
      items: numbered(10_000),
      concurrency: 100,
      backoff: QUICK,
      max_attempts: 3,
    });
    const ended = await world.end(batch, 60_000);
    expect(countsOf(ended)).toEqual({
      status: 'partially_completed',
      completed_items: 9_000,
      failed_items: 1_000,
    });
    expect(ended.percent_complete).toBe(100);
    const expected = Array.from({ length: 10_000 }, (_, index) => index + 1).map((seq) =>
      seq % 10 === 0 ? 3 : seq % 3 === 0 ? 2 : 1,
    );
    expect(expected.map((_, index) => moody.runsOf(index + 1))).toEqual(expected);
    const { data } = await world.engine.items({ batch_id: batch.id, after: 0, limit: 30 });
    expect(data.map(({ seq, status, attempt }) => [seq, status, attempt])).toEqual(
      data.map(({ seq }) => [seq, seq % 10 === 0 ? 'failed' : 'completed', expected[seq - 1]]),
    );
    const third = await world.engine.item({ batch_id: batch.id, seq: 3 });
    expect(third).toMatchObject({ status: 'completed', result: { seq: 3 }, error: null });
    expect(third.attempts).toMatchObject([{ attempt: 1, error: { message: 'item 3 is slow to begin' } }]);
    const causes = await world.engine.causes({ batch_id: batch.id });
    expect(causes).toMatchObject([{ cause: 'error: item <n> is bad', count: 1_000 }]);
  });

  it('without items completes at once, with zeros and no NaN anywhere', async () => {
    const batch = await world.make({ items: [] });
    expect(countsOf(batch)).toEqual({ status: 'completed' });
    const progress = await world.engine.progress({ batch_id: batch.id });
    expect(progress).toMatchObject({ total: 0, percent_complete: 100, items_per_second: 0 });
    expect(JSON.stringify({ batch: await world.get(batch), progress })).not.toMatch(/NaN|Infinity/);
  });

  it('stays a draft without being asked to start, and runs when it is', async () => {
    const batch = await world.make({ name: 'later' });
    expect(batch.status).toBe('draft');
    await world.engine.append({ batch_id: batch.id }, numbered(3));
    expect((await world.get(batch)).status).toBe('draft');
    await world.engine.start({ batch_id: batch.id });
    expect(countsOf(await world.end(batch))).toEqual({ status: 'completed', completed_items: 3 });
  });

  it('fails an item at once when its failure is permanent, and others after their last attempt', async () => {
    const batch = await world.make({
      processor: 'hopeless',
      items: numbered(2),
      max_attempts: 4,
      backoff: QUICK,
    });
    expect(countsOf(await world.end(batch))).toEqual({ status: 'failed', failed_items: 2 });
    expect(hopeless.runsOf(1)).toBe(1);
    expect(hopeless.runsOf(2)).toBe(4);
    const first = await world.engine.item({ batch_id: batch.id, seq: 1 });
    expect(first).toMatchObject({
      attempt: 1,
      error: { kind: 'permanent', code: 'unsupported' },
      attempts: [],
    });
    const second = await world.engine.item({ batch_id: batch.id, seq: 2 });
    expect(second).toMatchObject({
      attempt: 4,
      status: 'failed',
      error: { kind: 'retryable', message: 'not yet' },
    });
    expect(second.attempts.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
  });

  it('tries again when the processor says, not before', async () => {
    const batch = await world.make({ processor: 'patient', items: numbered(1), backoff: QUICK });
    await until('the item waits', async () => {
      const { data } = await world.engine.items({ batch_id: batch.id, after: 0, limit: 1 });
      return data[0]?.retry_at !== null;
    });
    const waiting = await world.engine.item({ batch_id: batch.id, seq: 1 });
    expect(waiting).toMatchObject({ status: 'pending', attempt: 1, error: { code: 'quota' } });
    await world.end(batch);
    const [first, second] = patient.starts;
    expect(patient.starts).toHaveLength(2);
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(290);
  });

  it('ends an item that takes too long, and tells it to stop', async () => {
    const batch = await world.make({
      processor: 'slow',
      items: numbered(2),
      item_timeout_ms: 50,
      max_attempts: 1,
    });
    expect(countsOf(await world.end(batch))).toEqual({ status: 'failed', failed_items: 2 });
    const item = await world.engine.item({ batch_id: batch.id, seq: 1 });
    expect(item.error).toMatchObject({ kind: 'timeout', code: 'timeout' });
    expect(slow.atWork).toBe(0);
  });

  it('waits for inline code that does not stop, and still calls it a timeout', async () => {
    const batch = await world.make({
      processor: 'stubborn',
      items: numbered(1),
      item_timeout_ms: 50,
      max_attempts: 1,
    });
    await world.end(batch);
    const item = await world.engine.item({ batch_id: batch.id, seq: 1 });
    expect(item.error).toMatchObject({ kind: 'timeout' });
    expect(stubborn.atWork).toBe(0);
  });

  it('keeps results, logs and metrics of every attempt', async () => {
    const batch = await world.make({
      processor: 'talker',
      items: numbered(4),
      max_attempts: 2,
      backoff: QUICK,
    });
    const ended = await world.end(batch);
    // The numbers of failed attempts count for nobody.
    expect(ended.metrics).toEqual({ pixels: { sum: 70, count: 3, min: 10, max: 40 } });
    const item = await world.engine.item({ batch_id: batch.id, seq: 4 });
    expect(item).toMatchObject({ result: { seq: 4, list: [1, null, 'ü'] }, metrics: { pixels: 40 } });
    const { data } = await world.engine.logs({ batch_id: batch.id, seq: 3 });
    expect(data.map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(data[0]?.text).toBe('item 3 begins\n\\x1b[31mred\\x1b[0m');
    expect((await world.engine.logs({ batch_id: batch.id })).data).toHaveLength(5);
  });

  it('makes a clean failure of whatever a processor returns or throws', async () => {
    const inputs = [
      'bigint',
      'circle',
      'huge',
      'null thrown',
      'text thrown',
      'nothing',
      'fine',
      null,
      0,
      false,
    ];
    const items = inputs.map((input) => ({ input }));
    const batch = await world.make({ processor: 'returning', items, max_attempts: 1 });
    await world.end(batch);
    const { data } = await world.engine.items({ batch_id: batch.id, after: 0, limit: 20 });
    expect(data.map(({ status, error, result }) => (status === 'failed' ? error?.code : result))).toEqual([
      'bad_result',
      'bad_result',
      'bad_result',
      'error',
      'error',
      null,
      'fine',
      null,
      0,
      false,
    ]);
  });
});
