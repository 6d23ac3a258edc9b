import { RETRY_PRIORITY } from '@sheaf/protocol';
import { expect } from 'vitest';
import { makeFile, makeItem, makeOutcome } from '../../factories.ts';
import { refused, type Scene, type StoreTest } from './scene.ts';

/** Explicit retry: what it takes, what it leaves, and what it refuses. */
export function retryCases(test: StoreTest): void {
  test('sends the failed items back to work', async ({
    store,
    started,
    act,
    work,
    statuses,
    lease,
    events,
  }) => {
    const batch = await started({ items: 4, policies: { max_attempts: 2 } });
    await work(batch, [2, 4]);
    const answer = await store.retry(act(batch));
    expect(answer).toMatchObject({
      retried: 2,
      batch: {
        status: 'queued',
        round: 2,
        failed_items: 0,
        completed_items: 2,
        pending_items: 2,
        completed_at: null,
      },
    });
    expect(await events(batch)).toContain('items_retried');
    expect(await statuses(batch)).toEqual({ 1: 'completed', 2: 'pending', 3: 'completed', 4: 'pending' });
    expect((await lease(batch)).items).toMatchObject([
      { seq: 2, attempt: 2, last_attempt: 3, priority: RETRY_PRIORITY },
      { seq: 4, attempt: 2, last_attempt: 3, priority: RETRY_PRIORITY },
    ]);
  });

  test('keeps the history of a retried item', async ({ store, started, act, work, ref }) => {
    const batch = await started({ items: 1 });
    await work(batch, [1]);
    await store.retry(act(batch));
    expect(await store.item({ ...ref(batch), seq: 1 })).toMatchObject({
      status: 'pending',
      attempt: 1,
      error: null,
      cause: null,
      finished_at: null,
      attempts: [{ attempt: 1, error: { code: 'broken' } }],
    });
    expect(await store.causes(ref(batch))).toEqual([]);
    await work(batch);
    expect(await store.item({ ...ref(batch), seq: 1 })).toMatchObject({
      status: 'completed',
      attempt: 2,
      error: null,
    });
    expect(await store.get(ref(batch))).toMatchObject({ status: 'completed', failed_items: 0 });
  });

  test('gives max_attempts new attempts each time', async ({ store, started, act, work, lease, finish }) => {
    const batch = await started({ items: 1, policies: { max_attempts: 3 } });
    await work(batch, [1]);
    for (const [attempt, lastAttempt] of [
      [2, 4],
      [3, 5],
    ]) {
      await store.retry(act(batch));
      const held = await lease(batch);
      expect(held.items).toMatchObject([{ attempt, last_attempt: lastAttempt }]);
      await finish(held, [1]);
    }
  });

  test('takes only the named items', async ({ store, started, act, work, statuses }) => {
    const batch = await started({ items: 4 });
    await work(batch, [1, 2, 3, 4]);
    expect(await store.retry({ ...act(batch), items: [2, 3] })).toMatchObject({
      retried: 2,
      batch: { failed_items: 2 },
    });
    expect(await statuses(batch)).toEqual({ 1: 'failed', 2: 'pending', 3: 'pending', 4: 'failed' });
  });

  test('takes only the items of a cause', async ({ store, started, act, lease, record, statuses, ref }) => {
    const batch = await started({ items: 3 });
    const held = await lease(batch);
    await record(
      held,
      held.items.map((item) =>
        makeOutcome(item, { status: 'failed', cause: item.seq === 2 ? 'odd' : 'even' }),
      ),
    );
    expect(await store.retry({ ...act(batch), cause: 'even' })).toMatchObject({ retried: 2 });
    expect(await statuses(batch)).toEqual({ 1: 'pending', 2: 'failed', 3: 'pending' });
    expect(await store.causes(ref(batch))).toMatchObject([{ cause: 'odd', count: 1 }]);
  });

  test('moves nothing when there is nothing to take', async ({ store, started, act, work, get }) => {
    const batch = await started({ items: 2 });
    await work(batch);
    const before = await get(batch);
    expect(await store.retry(act(batch))).toEqual({ batch: before, retried: 0 });
    expect(await store.retry({ ...act(batch), cause: 'unknown' })).toEqual({ batch: before, retried: 0 });
    expect(await get(batch)).toEqual(before);
  });

  test('takes the bytes of retried items from those that are done', async (scene) => {
    const { store, started, act, work, get } = scene;
    const files = [makeFile('a'.repeat(10)), makeFile('b'.repeat(7)), makeFile('c'.repeat(5))];
    for (const file of files) await store.addFile(file);
    const batch = await started({ items: files.map(({ id }) => makeItem({ file_id: id })) });
    await work(batch, [1, 3]);
    expect(await get(batch)).toMatchObject({ total_bytes: 22, done_bytes: 22 });
    await store.retry({ ...act(batch), items: [3] });
    expect(await get(batch)).toMatchObject({ total_bytes: 22, done_bytes: 17 });
    await store.retry(act(batch));
    expect(await get(batch)).toMatchObject({ total_bytes: 22, done_bytes: 7 });
    await work(batch);
    expect(await get(batch)).toMatchObject({ status: 'completed', done_bytes: 22 });
  });

  test('counts two retries at once as one', async ({ store, started, act, work, lease }) => {
    const batch = await started({ items: 3 });
    await work(batch, [1, 2, 3]);
    const answers = await Promise.all(Array.from({ length: 10 }, () => store.retry(act(batch))));
    expect(answers.map(({ retried }) => retried).sort()).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
    expect((await lease(batch)).items).toMatchObject([{ attempt: 2 }, { attempt: 2 }, { attempt: 2 }]);
  });

  test('refuses items that are completed, running, pending or unknown', async (scene) => {
    const { store, started, act, get } = scene;
    const batch = await started({ items: 4 });
    await leaveOneOfEach(scene, batch);
    const before = await get(batch);
    // Item 1 failed: the call as a whole is refused, so that one is not retried either.
    for (const seq of [2, 3, 4]) {
      const { details } = await refused(store.retry({ ...act(batch), items: [1, seq] }), 'wrong_status');
      expect(details).toMatchObject({ current_status: 'running' });
    }
    await refused(store.retry({ ...act(batch), items: [1, 99] }), 'not_found');
    expect(await get(batch)).toEqual(before);
    expect(await store.retry({ ...act(batch), items: [1] })).toMatchObject({
      retried: 1,
      batch: { status: 'running' },
    });
  });

  test('lets one that waits for its retry fall due now', async ({
    store,
    started,
    act,
    lease,
    record,
    clock,
    ref,
    refusal,
  }) => {
    const batch = await started({ items: 3 });
    const held = await lease(batch);
    const due = clock.now() + 60_000;
    await record(
      held,
      held.items.map((item) => makeOutcome(item, { status: 'retry', ready_at: due })),
    );
    await store.retry({ ...act(batch), items: [2] });
    const again = await lease(batch);
    // It neither counts an attempt nor gets new ones, and its neighbours wait on.
    expect(again.items).toMatchObject([{ seq: 2, attempt: 2, last_attempt: 3 }]);
    expect(await refusal(batch)).toMatchObject({ refused: 'none_ready', next_ready_at: due });
    expect(await store.item({ ...ref(batch), seq: 3 })).toMatchObject({ status: 'pending', retry_at: due });
  });

  test('takes failed and cancelled items of a cancelled batch', async ({
    store,
    started,
    act,
    lease,
    finish,
    statuses,
  }) => {
    const batch = await started({ items: 4 });
    await finish(await lease(batch, { limit: 2 }), [2]);
    await lease(batch, { limit: 1 });
    await store.cancel(act(batch));
    expect(await store.retry(act(batch))).toMatchObject({
      retried: 3,
      batch: { status: 'queued', round: 2, cancelled_items: 0, failed_items: 0, pending_items: 3 },
    });
    expect(await statuses(batch)).toEqual({ 1: 'completed', 2: 'pending', 3: 'pending', 4: 'pending' });
    const again = await lease(batch);
    expect(again.items.map(({ seq, attempt, last_attempt }) => [seq, attempt, last_attempt])).toEqual([
      [2, 2, 4],
      [3, 1, 3],
      [4, 1, 3],
    ]);
    expect(await finish(again)).toMatchObject({ batch: { status: 'completed', completed_items: 4 } });
  });

  test('takes only what has the asked status', async ({ store, started, act, lease, finish, statuses }) => {
    const batch = await started({ items: 4 });
    await finish(await lease(batch, { limit: 2 }), [1]);
    await store.cancel(act(batch));
    expect(await store.retry({ ...act(batch), status: ['failed'] })).toMatchObject({ retried: 1 });
    expect(await statuses(batch)).toEqual({ 1: 'pending', 2: 'completed', 3: 'cancelled', 4: 'cancelled' });
    // No longer a cancelled batch: nothing named means the failed ones, and there are none.
    expect(await store.retry(act(batch))).toMatchObject({ retried: 0, batch: { cancelled_items: 2 } });
    expect(await store.retry({ ...act(batch), status: ['cancelled'] })).toMatchObject({ retried: 2 });
    expect(await statuses(batch)).toEqual({ 1: 'pending', 2: 'completed', 3: 'pending', 4: 'pending' });
  });

  test('ends a partly retried cancelled batch with its cancelled rest', async ({
    store,
    started,
    act,
    work,
    get,
  }) => {
    const batch = await started({ items: 3 });
    await store.cancel(act(batch));
    expect(await store.retry({ ...act(batch), items: [2] })).toMatchObject({
      retried: 1,
      batch: { cancelled_items: 2 },
    });
    await work(batch);
    expect(await get(batch)).toMatchObject({
      status: 'partially_completed',
      completed_items: 1,
      cancelled_items: 2,
    });
  });

  test('refuses late results of before the cancel after a retry', async ({
    store,
    started,
    act,
    lease,
    finish,
    get,
  }) => {
    const batch = await started({ items: 2 });
    const late = await lease(batch);
    await store.cancel(act(batch));
    await store.retry(act(batch));
    expect(await finish(late)).toMatchObject({ lost: true, accepted: 0, refused: 2 });
    expect(await get(batch)).toMatchObject({ status: 'queued', pending_items: 2 });
    expect(await finish(await lease(batch))).toMatchObject({ accepted: 2 });
  });

  test('keeps a running or paused batch where it is', async ({ store, started, act, lease, finish, get }) => {
    const batch = await started({ items: 4 });
    await finish(await lease(batch, { limit: 2 }), [1, 2]);
    expect(await store.retry({ ...act(batch), items: [1] })).toMatchObject({
      batch: { status: 'running', round: 1 },
    });
    await store.pause({ ...act(batch), reason: 'user', mode: 'drain' });
    expect(await store.retry({ ...act(batch), items: [2] })).toMatchObject({
      batch: { status: 'paused', round: 1 },
    });
    expect(await get(batch)).toMatchObject({ pause_reason: 'user', failed_items: 0, pending_items: 4 });
  });

  test('a retried batch that is paused goes back to queued', async ({ store, started, act, work }) => {
    const batch = await started({ items: 2 });
    await work(batch, [2]);
    await store.retry(act(batch));
    await store.pause({ ...act(batch), reason: 'user', mode: 'drain' });
    expect(await store.resume(act(batch))).toMatchObject({ status: 'queued' });
  });

  test('retries with another config, the rest keeps the first', async ({
    store,
    started,
    act,
    lease,
    finish,
    get,
  }) => {
    const batch = await started({ items: 3, config: { preset: 'warm' } });
    await finish(await lease(batch, { limit: 1 }), [1]);
    const { batch: retried } = await store.retry({ ...act(batch), config: { preset: 'cold' } });
    expect(retried.failed_items).toBe(0);
    const [again, rest] = [await lease(batch, { limit: 1 }), await lease(batch)];
    expect(again.items).toMatchObject([{ seq: 1 }]);
    expect(again.configs[again.items[0]?.config_no ?? -1]).toEqual({ preset: 'cold' });
    expect(rest.configs[rest.items[0]?.config_no ?? -1]).toEqual({ preset: 'warm' });
    expect(await finish(again)).toMatchObject({ accepted: 1 });
    expect(await finish(rest)).toMatchObject({ accepted: 2 });
    expect(await get(batch)).toMatchObject({ status: 'completed' });
  });

  test('retries a batch of ten thousand failures', async ({ store, started, act, work, get, lease }) => {
    const batch = await started({ items: 10_000, concurrency: 1_000 });
    await work(
      batch,
      Array.from({ length: 10_000 }, (_, index) => index + 1),
    );
    expect(await store.retry(act(batch))).toMatchObject({ retried: 10_000 });
    expect((await lease(batch)).items).toHaveLength(1_000);
    expect(await get(batch)).toMatchObject({ failed_items: 0, pending_items: 9_000, running_items: 1_000 });
  });
}

/** 1 failed, 2 completed, 3 running, 4 pending. */
async function leaveOneOfEach({ lease, finish }: Scene, batch: { id: string; space: string }): Promise<void> {
  await finish(await lease(batch, { limit: 2 }), [1]);
  await lease(batch, { limit: 1 });
}
