import { expect } from 'vitest';
import type { Lease, LeasedItem, RecordRequest } from '../../../ports/leasing.ts';
import { makeFile, makeItem, makeOutcome, makeOutput } from '../../factories.ts';
import type { StoreTest } from './scene.ts';

function itemAt(lease: Lease, seq: number): LeasedItem {
  const item = lease.items.find((candidate) => candidate.seq === seq);
  if (item === undefined) throw new Error(`Item ${seq} is not in the lease.`);
  return item;
}

function requestOf({ token, batch, items, width }: Lease): RecordRequest {
  return { token, batch_id: batch.id, outcomes: items.map((item) => makeOutcome(item)), more: 0, width };
}

/** Recording outcomes: what is kept, what is refused, what follows. */
export function recordingCases(test: StoreTest): void {
  test('keeps a result with all that came with it', async ({
    store,
    started,
    lease,
    record,
    ref,
    get,
    clock,
  }) => {
    const batch = await started({ items: 1 });
    const held = await lease(batch);
    const output = makeOutput('developed');
    const outcome = makeOutcome(itemAt(held, 1), {
      result: '{"text":"ünï\\u0001","list":[1,null]}',
      metrics: { faces: 3, seconds: 0.5 },
      outputs: [output],
      log: 'opened\ndeveloped',
      started_at: clock.now() - 700,
      duration_ms: 700,
    });
    const answer = await record(held, [outcome]);
    expect(answer).toMatchObject({ token: held.token, lost: false, accepted: 1, refused: 0, items: [] });
    expect(await store.item({ ...ref(batch), seq: 1 })).toMatchObject({
      status: 'completed',
      attempt: 1,
      result: { text: 'ünï\u0001', list: [1, null] },
      error: null,
      cause: null,
      metrics: { faces: 3, seconds: 0.5 },
      outputs: [output],
      duration_ms: 700,
      retry_at: null,
      finished_at: clock.now(),
      attempts: [],
    });
    expect(await get(batch)).toMatchObject({
      metrics: {
        faces: { sum: 3, count: 1, min: 3, max: 3 },
        seconds: { sum: 0.5, count: 1, min: 0.5, max: 0.5 },
      },
    });
    const { data } = await store.logs({ ...ref(batch), after: 0, limit: 10 });
    expect(data).toMatchObject([{ seq: 1, attempt: 1, text: 'opened\ndeveloped' }]);
  });

  test('adds metrics up', async ({ started, lease, record, get }) => {
    const batch = await started({ items: 3 });
    const held = await lease(batch);
    const values = [4, -1, 2.5];
    await record(
      held,
      held.items.map((item, index) => makeOutcome(item, { metrics: { score: values[index] ?? 0 } })),
    );
    expect((await get(batch)).metrics).toEqual({ score: { sum: 5.5, count: 3, min: -1, max: 4 } });
  });

  test('counts the bytes that are done', async ({ store, started, lease, record, get }) => {
    const files = [makeFile('a'.repeat(10)), makeFile('b'.repeat(7))];
    for (const file of files) await store.addFile(file);
    const batch = await started({ items: files.map(({ id }) => makeItem({ file_id: id })) });
    const held = await lease(batch);
    expect(itemAt(held, 1).file).toMatchObject({
      sha256: files[0]?.sha256,
      bytes: 10,
      media_type: 'image/png',
    });
    const { batch: pulse } = await record(held, [makeOutcome(itemAt(held, 1))]);
    expect(pulse).toMatchObject({ done_bytes: 10 });
    await record(held, [makeOutcome(itemAt(held, 2), { status: 'failed' })]);
    expect(await get(batch)).toMatchObject({ total_bytes: 17, done_bytes: 17 });
  });

  test('answers the numbers of the batch as of this commit', async ({ started, lease, record, get }) => {
    const batch = await started({ items: 8, concurrency: 5, priority: 7 });
    const held = await lease(batch, { limit: 3, width: 3 });
    await lease(batch, { limit: 4, width: 2 });
    const { batch: pulse } = await record(held, [makeOutcome(itemAt(held, 1))]);
    expect(pulse).toMatchObject({
      id: batch.id,
      space: 'default',
      status: 'running',
      concurrency: 5,
      priority: 7,
      total_items: 8,
      completed_items: 1,
      failed_items: 0,
      skipped_items: 0,
      cancelled_items: 0,
      running_items: 4,
    });
    expect(await get(batch)).toMatchObject({ running_items: 4, pending_items: 3 });
    expect(pulse?.event_seq).toBe((await get(batch)).event_seq);
  });

  for (const [outcomes, status] of [
    [['completed', 'completed'], 'completed'],
    [['completed', 'failed'], 'partially_completed'],
    [['failed', 'failed'], 'failed'],
  ] as const) {
    test(`ends as ${status} with the last outcome`, async ({
      started,
      lease,
      record,
      get,
      clock,
      events,
    }) => {
      const batch = await started({ items: 2 });
      const held = await lease(batch);
      for (const [index, outcome] of outcomes.entries()) {
        clock.advance(10);
        const answer = await record(held, [makeOutcome(itemAt(held, index + 1), { status: outcome })]);
        expect(answer.batch?.status).toBe(index === 0 ? 'running' : status);
      }
      expect(await get(batch)).toMatchObject({
        status,
        completed_at: clock.now(),
        pending_items: 0,
        running_items: 0,
      });
      expect((await events(batch)).at(-1)).toBe(`batch_status ${status}`);
    });
  }

  test('records the turns of many batches in one call', async ({ store, started, lease, clock, get }) => {
    const batches = [await started({ items: 2 }), await started({ items: 2 }), await started({ items: 2 })];
    const leases = [];
    for (const batch of batches)
      leases.push(await lease(batch, { limit: 1 }), await lease(batch, { limit: 1 }));
    const answers = await store.record(leases.map(requestOf), clock.now());
    expect(answers.map(({ token }) => token)).toEqual(leases.map(({ token }) => token));
    expect(answers.map(({ accepted }) => accepted)).toEqual([1, 1, 1, 1, 1, 1]);
    for (const batch of batches)
      expect(await get(batch)).toMatchObject({ status: 'completed', completed_items: 2 });
  });

  test('drops only the chunk whose lease is lost', async ({ store, started, act, lease, clock, get }) => {
    const [a, b] = [await started(), await started()];
    const [lost, held] = [await lease(a), await lease(b)];
    await store.pause({ ...act(a), reason: 'user', mode: 'now' });
    expect(await store.record([requestOf(lost), requestOf(held)], clock.now())).toMatchObject([
      { lost: true, accepted: 0, refused: 3, batch: null },
      { lost: false, accepted: 3, refused: 0, batch: { status: 'completed' } },
    ]);
    expect(await get(a)).toMatchObject({ status: 'paused', pending_items: 3 });
  });

  test('neither accepts nor refuses what is recorded already', async ({
    started,
    lease,
    record,
    get,
    finish,
  }) => {
    const batch = await started({ items: 3 });
    const held = await lease(batch);
    const first = [makeOutcome(itemAt(held, 1))];
    expect(await record(held, first)).toMatchObject({ accepted: 1, refused: 0 });
    const other = [makeOutcome(itemAt(held, 1), { status: 'failed' })];
    expect(await record(held, other)).toMatchObject({ lost: false, accepted: 0, refused: 0 });
    expect(await get(batch)).toMatchObject({ completed_items: 1, failed_items: 0, status: 'running' });
    await finish({ ...held, items: held.items.slice(1) });
    expect(await finish(held)).toMatchObject({ accepted: 0 });
    expect(await get(batch)).toMatchObject({ completed_items: 3, status: 'completed' });
  });

  test('neither accepts nor refuses a retry that is recorded already', async ({
    started,
    lease,
    record,
    ref,
    store,
    clock,
  }) => {
    const batch = await started({ items: 2 });
    const held = await lease(batch);
    const outcome = makeOutcome(itemAt(held, 1), { status: 'retry', ready_at: clock.now() + 1_000 });
    expect(await record(held, [outcome])).toMatchObject({ accepted: 1 });
    expect(await record(held, [outcome])).toMatchObject({ accepted: 0, refused: 0 });
    expect(await store.item({ ...ref(batch), seq: 1 })).toMatchObject({
      attempt: 1,
      attempts: [{ attempt: 1 }],
    });
  });

  test('takes the first of two outcomes of one item in a call', async ({
    store,
    started,
    lease,
    record,
    ref,
  }) => {
    const batch = await started({ items: 3 });
    const held = await lease(batch);
    const [a, b] = [itemAt(held, 1), itemAt(held, 2)];
    const answer = await record(held, [
      makeOutcome(a),
      makeOutcome(a, { status: 'failed' }),
      makeOutcome(b, { status: 'failed' }),
      makeOutcome(b),
    ]);
    expect(answer.accepted).toBe(2);
    expect(await store.get(ref(batch))).toMatchObject({ completed_items: 1, failed_items: 1 });
    expect((await store.item({ ...ref(batch), seq: a.seq })).status).toBe('completed');
    expect((await store.item({ ...ref(batch), seq: b.seq })).status).toBe('failed');
  });

  test('takes two records of one lease in a call', async ({ store, started, lease, clock, get }) => {
    const batch = await started({ items: 3, concurrency: 2 });
    const { token, width, items } = await lease(batch);
    const requests = items.map((item) => ({
      token,
      batch_id: batch.id,
      outcomes: [makeOutcome(item)],
      more: 0,
      width,
    }));
    expect((await store.record(requests, clock.now())).map(({ accepted }) => accepted)).toEqual([1, 1, 1]);
    expect(await get(batch)).toMatchObject({ status: 'completed', completed_items: 3, running_items: 0 });
  });

  test('refuses the late result of a lease that was taken away', async ({
    store,
    started,
    lease,
    finish,
    record,
    ref,
    clock,
  }) => {
    const batch = await started({ items: 1, open: true });
    const late = await lease(batch);
    await store.sweep(clock.advance(7_000));
    const held = await lease(batch);
    expect(await finish(late)).toMatchObject({ lost: true, accepted: 0, refused: 1 });
    await record(held, [makeOutcome(itemAt(held, 1), { result: '"mine"' })]);
    const tooLate = makeOutcome(itemAt(late, 1), { result: '"late"', started_at: clock.now() - 6_500 });
    expect(await record(late, [tooLate])).toMatchObject({ lost: true, accepted: 0, refused: 1 });
    expect(await store.item({ ...ref(batch), seq: 1 })).toMatchObject({ result: 'mine', attempt: 1 });
  });

  test('may be made again when it ended the lease and its answer got lost', async (scene) => {
    const { started, lease, record, get, clock } = scene;
    const batch = await started({ items: 3 });
    const held = await lease(batch);
    const outcomes = (['completed', 'failed', 'retry'] as const).map((status, index) =>
      makeOutcome(itemAt(held, index + 1), { status, ready_at: clock.now() }),
    );
    expect(await record(held, outcomes)).toMatchObject({ accepted: 3, width: 0 });
    const before = await get(batch);
    expect(await record(held, outcomes)).toMatchObject({
      lost: false,
      accepted: 0,
      refused: 0,
      width: 0,
      items: [],
      batch: { id: batch.id, completed_items: 1, failed_items: 1 },
    });
    // The third one was tried again meanwhile, by another lease.
    await scene.finish(await lease(batch));
    expect(await record(held, outcomes)).toMatchObject({ lost: false, refused: 0 });
    expect(await get(batch)).toMatchObject({ completed_items: before.completed_items + 1, failed_items: 1 });
    const other = outcomes.map((outcome) => ({ ...outcome, duration_ms: outcome.duration_ms + 1 }));
    expect(await record(held, [...outcomes.slice(1), ...other.slice(0, 1)])).toMatchObject({
      lost: true,
      accepted: 0,
      refused: 1,
    });
  });

  test('lets a failed attempt be tried again later', async ({
    store,
    started,
    lease,
    record,
    ref,
    get,
    refusal,
    clock,
  }) => {
    const batch = await started({ items: 1 });
    const held = await lease(batch, { worker: 'worker-7' });
    const due = clock.now() + 4_000;
    const outcome = makeOutcome(itemAt(held, 1), {
      status: 'retry',
      ready_at: due,
      log: 'no luck',
      started_at: clock.now() - 50,
      duration_ms: 50,
    });
    expect(await record(held, [outcome])).toMatchObject({
      accepted: 1,
      batch: { status: 'running', failed_items: 0 },
    });
    expect(await get(batch)).toMatchObject({ pending_items: 1, running_items: 0 });
    expect(await store.item({ ...ref(batch), seq: 1 })).toMatchObject({
      status: 'pending',
      attempt: 1,
      retry_at: due,
      attempts: [{ attempt: 1, error: outcome.error, started_at: clock.now() - 50, worker: 'worker-7' }],
    });
    expect(await refusal(batch)).toMatchObject({ refused: 'none_ready', next_ready_at: due });
    clock.advance(4_000);
    expect(itemAt(await lease(batch), 1)).toMatchObject({ attempt: 2, last_attempt: 3 });
  });

  test('keeps the attempts before the last one apart', async ({
    store,
    started,
    lease,
    record,
    ref,
    clock,
  }) => {
    const batch = await started({ items: 1 });
    for (const attempt of [1, 2, 3]) {
      const held = await lease(batch);
      expect(itemAt(held, 1)).toMatchObject({ attempt, last_attempt: 3 });
      const error = { kind: 'retryable', code: `broken_${attempt}`, message: 'Broken.' } as const;
      const status = attempt < 3 ? 'retry' : 'failed';
      await record(held, [makeOutcome(itemAt(held, 1), { status, error, ready_at: clock.advance(1_000) })]);
    }
    expect(await store.item({ ...ref(batch), seq: 1 })).toMatchObject({
      status: 'failed',
      attempt: 3,
      error: { code: 'broken_3' },
      attempts: [
        { attempt: 1, error: { code: 'broken_1' } },
        { attempt: 2, error: { code: 'broken_2' } },
      ],
    });
    expect(await store.get(ref(batch))).toMatchObject({ status: 'failed', failed_items: 1 });
  });

  test('accepts an empty record', async ({ store, started, lease, record, clock }) => {
    const batch = await started({ items: 3 });
    const held = await lease(batch, { limit: 1 });
    expect(await record(held, [])).toMatchObject({ lost: false, accepted: 0, refused: 0 });
    expect(await store.record([], clock.now())).toEqual([]);
  });

  test('does not record an item that was removed while it waited', async ({
    store,
    started,
    act,
    lease,
    record,
    clock,
    get,
  }) => {
    const batch = await started({ items: 2 });
    const held = await lease(batch);
    const retry = makeOutcome(itemAt(held, 1), { status: 'retry', ready_at: clock.now() + 1_000 });
    await record(held, [retry]);
    await store.removeItem({ ...act(batch), seq: 1 });
    expect(await record(held, [retry])).toMatchObject({ accepted: 0 });
    await record(held, [makeOutcome(itemAt(held, 2))]);
    expect(await get(batch)).toMatchObject({ status: 'completed', total_items: 1, completed_items: 1 });
  });

  test('records a thousand items of one lease', async ({ started, lease, finish, get }) => {
    const batch = await started({ items: 1_000, concurrency: 8 });
    expect(await finish(await lease(batch))).toMatchObject({
      accepted: 1_000,
      batch: { status: 'completed' },
    });
    expect(await get(batch)).toMatchObject({ completed_items: 1_000, percent_complete: 100 });
  });
}
