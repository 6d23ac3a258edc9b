import { expect } from 'vitest';
import { makeItems, makeOutcome } from '../../factories.ts';
import type { StoreTest } from './scene.ts';

/** The canary and the failure budget. */
export function limitCases(test: StoreTest): void {
  test('leases nothing behind the canary', async ({ store, started, lease, refusal, finish, get, clock }) => {
    const batch = await started({ items: 10, policies: { canary: { items: 3 } } });
    const held = await lease(batch);
    expect(held.items.map(({ seq }) => seq)).toEqual([1, 2, 3]);
    expect((await refusal(batch)).refused).toBe('none_ready');
    expect((await store.ready({ now: clock.now(), limit: 10 })).batches).toEqual([]);
    expect(await finish(held, [2])).toMatchObject({ items: [], batch: { status: 'paused' } });
    expect(await get(batch)).toMatchObject({ status: 'paused', pause_reason: 'canary', pending_items: 7 });
  });

  test('goes on behind the canary when it is resumed', async ({ store, started, act, work, get }) => {
    const batch = await started({ items: 10, policies: { canary: { items: 3 } } });
    await work(batch);
    expect(await get(batch)).toMatchObject({ pause_reason: 'canary', completed_items: 3 });
    expect(await store.resume(act(batch))).toMatchObject({ status: 'running', pause_reason: null });
    await work(batch);
    expect(await get(batch)).toMatchObject({ status: 'completed', completed_items: 10 });
  });

  test('gives a lease no more than the canary', async ({ started, lease, record }) => {
    const batch = await started({ items: 10, policies: { canary: { items: 3 } } });
    const held = await lease(batch, { limit: 1 });
    const answer = await record(
      held,
      held.items.map((item) => makeOutcome(item)),
      { more: 50 },
    );
    expect(answer.items.map(({ seq }) => seq)).toEqual([2, 3]);
    expect(
      await record(
        held,
        answer.items.map((item) => makeOutcome(item)),
        { more: 50 },
      ),
    ).toMatchObject({
      items: [],
      batch: { status: 'paused' },
    });
  });

  test('does not end the canary while one of it waits for a retry', async ({
    started,
    lease,
    record,
    get,
    clock,
    work,
  }) => {
    const batch = await started({ items: 5, policies: { canary: { items: 2 } } });
    const held = await lease(batch);
    const due = clock.now() + 1_000;
    await record(
      held,
      held.items.map((item) => makeOutcome(item, item.seq === 1 ? { status: 'retry', ready_at: due } : {})),
    );
    expect(await get(batch)).toMatchObject({ status: 'running', completed_items: 1 });
    clock.advance(1_000);
    await work(batch);
    expect(await get(batch)).toMatchObject({ pause_reason: 'canary', completed_items: 2 });
  });

  test('goes on by itself when enough of the canary passed', async ({ started, work, get }) => {
    const batch = await started({ items: 8, policies: { canary: { items: 4, min_pass_percent: 75 } } });
    await work(batch, [1]);
    expect(await get(batch)).toMatchObject({
      status: 'partially_completed',
      completed_items: 7,
      failed_items: 1,
    });
  });

  test('waits when too few of the canary passed', async ({ started, work, get }) => {
    const batch = await started({ items: 8, policies: { canary: { items: 4, min_pass_percent: 75 } } });
    await work(batch, [1, 2]);
    expect(await get(batch)).toMatchObject({
      status: 'paused',
      pause_reason: 'canary',
      failed_items: 2,
      pending_items: 4,
    });
  });

  test('ends the canary with the removal of its last item', async ({
    store,
    started,
    act,
    lease,
    finish,
  }) => {
    const batch = await started({ items: 5, policies: { canary: { items: 2 } } });
    await finish(await lease(batch, { limit: 1 }));
    expect(await store.removeItem({ ...act(batch), seq: 2 })).toMatchObject({
      status: 'paused',
      pause_reason: 'canary',
    });
  });

  test('keeps the canary through another pause', async ({ store, started, act, lease, work, get }) => {
    const batch = await started({ items: 5, policies: { canary: { items: 2 } } });
    await store.pause({ ...act(batch), reason: 'user', mode: 'drain' });
    await store.resume(act(batch));
    expect((await lease(batch)).items).toHaveLength(2);
    await store.pause({ ...act(batch), reason: 'user', mode: 'now' });
    await store.resume(act(batch));
    await work(batch);
    expect(await get(batch)).toMatchObject({ pause_reason: 'canary', completed_items: 2 });
  });

  test("ends a canary that was over during a user's pause when it is resumed", async ({
    store,
    started,
    act,
    lease,
    finish,
    get,
    refusal,
  }) => {
    const batch = await started({ items: 5, policies: { canary: { items: 2 } } });
    const held = await lease(batch);
    await store.pause({ ...act(batch), reason: 'user', mode: 'drain' });
    await finish(held);
    expect(await get(batch)).toMatchObject({ pause_reason: 'user', completed_items: 2 });
    expect(await store.resume(act(batch))).toMatchObject({ status: 'paused', pause_reason: 'canary' });
    expect((await refusal(batch)).refused).toBe('not_active');
    expect(await store.resume(act(batch))).toMatchObject({ status: 'running' });
  });

  test('ends a canary that was over while the disk was full', async ({
    store,
    started,
    lease,
    finish,
    get,
    clock,
  }) => {
    const batch = await started({ items: 5, policies: { canary: { items: 2 } } });
    const held = await lease(batch);
    await store.pauseAll({ reason: 'disk_full', now: clock.now() });
    await finish(held);
    await store.resumeAll({ reason: 'disk_full', now: clock.now() });
    expect(await get(batch)).toMatchObject({ status: 'paused', pause_reason: 'canary' });
  });

  test('does not skip the canary when a cancelled batch is retried', async ({
    store,
    started,
    act,
    lease,
    work,
    get,
  }) => {
    const batch = await started({ items: 6, policies: { canary: { items: 3 } } });
    await lease(batch, { limit: 1 });
    await store.cancel(act(batch));
    await store.retry(act(batch));
    await work(batch);
    expect(await get(batch)).toMatchObject({ pause_reason: 'canary', completed_items: 3, pending_items: 3 });
    await store.resume(act(batch));
    await work(batch);
    expect(await get(batch)).toMatchObject({ status: 'completed' });
  });

  test('counts only items that are to be done into the canary', async ({
    store,
    started,
    act,
    work,
    get,
  }) => {
    const batch = await started({ items: 9, requires_approval: true, policies: { canary: { items: 2 } } });
    await store.reject(act(batch));
    await store.retry({ ...act(batch), items: [4, 6, 7, 8] });
    await store.approve(act(batch));
    await work(batch);
    expect(await get(batch)).toMatchObject({ pause_reason: 'canary', completed_items: 2, pending_items: 2 });
  });

  test('runs retries inside the canary before it ends', async ({
    store,
    started,
    act,
    lease,
    finish,
    work,
    get,
  }) => {
    const batch = await started({ items: 6, policies: { canary: { items: 3 } } });
    await finish(await lease(batch, { limit: 2 }), [1]);
    await store.retry(act(batch));
    await finish(await lease(batch, { limit: 1 }));
    expect(await get(batch)).toMatchObject({ status: 'running', completed_items: 2 });
    await work(batch);
    expect(await get(batch)).toMatchObject({ pause_reason: 'canary', completed_items: 3 });
  });

  test('lets appended items wait behind the canary', async ({ store, started, act, work, get }) => {
    const batch = await started({ items: 3, policies: { canary: { items: 2 } } });
    await store.append(act(batch), makeItems(2));
    await work(batch);
    expect(await get(batch)).toMatchObject({ pause_reason: 'canary', completed_items: 2, pending_items: 3 });
  });

  test('completes a batch that is all canary', async ({ started, work, get }) => {
    const batch = await started({ items: 3, policies: { canary: { items: 3 } } });
    await work(batch);
    expect(await get(batch)).toMatchObject({ status: 'completed' });
  });

  test('skips items that were removed before the start', async ({ store, draft, act, lease }) => {
    const batch = await draft({ items: 6, policies: { canary: { items: 2 } } });
    await store.removeItem({ ...act(batch), seq: 1 });
    await store.removeItem({ ...act(batch), seq: 3 });
    await store.start(act(batch));
    expect((await lease(batch)).items.map(({ seq }) => seq)).toEqual([2, 4]);
  });

  test('pauses when the failure budget is used up', async ({ started, lease, record, get, refusal }) => {
    const batch = await started({ items: 6, policies: { failure_budget: { count: 2 } } });
    const held = await lease(batch);
    const fail = (seq: number) =>
      held.items.filter((item) => item.seq === seq).map((item) => makeOutcome(item, { status: 'failed' }));
    expect(await record(held, fail(1))).toMatchObject({ batch: { status: 'running' } });
    expect(await record(held, fail(2), { more: 10 })).toMatchObject({
      batch: { status: 'paused' },
      items: [],
    });
    expect(await get(batch)).toMatchObject({
      status: 'paused',
      pause_reason: 'failure_budget',
      failed_items: 2,
    });
    expect((await refusal(batch)).refused).toBe('not_active');
  });

  test('does not count attempts that are tried again', async ({ started, lease, record, clock }) => {
    const batch = await started({ items: 3, policies: { failure_budget: { count: 1 } } });
    const held = await lease(batch);
    const retries = held.items.map((item) =>
      makeOutcome(item, { status: 'retry', ready_at: clock.now() + 1_000 }),
    );
    expect(await record(held, retries)).toMatchObject({ accepted: 3, batch: { status: 'running' } });
  });

  test('counts the budget anew after a resume', async ({ store, started, act, lease, record, get }) => {
    const batch = await started({ items: 8, policies: { failure_budget: { count: 2 } } });
    const failOne = async () => {
      const held = await lease(batch, { limit: 1, width: 1 });
      await record(
        held,
        held.items.map((item) => makeOutcome(item, { status: 'failed' })),
      );
      return (await get(batch)).status;
    };
    expect([await failOne(), await failOne()]).toEqual(['running', 'paused']);
    await store.resume(act(batch));
    expect([await failOne(), await failOne()]).toEqual(['running', 'paused']);
    expect(await get(batch)).toMatchObject({ failed_items: 4 });
  });

  test('counts the budget anew after a retry', async ({ store, started, act, lease, record, get }) => {
    const batch = await started({ items: 8, policies: { failure_budget: { count: 2 } } });
    const failOne = async () => {
      const held = await lease(batch, { limit: 1, width: 1 });
      await record(
        held,
        held.items.map((item) => makeOutcome(item, { status: 'failed' })),
      );
      return (await get(batch)).status;
    };
    expect([await failOne(), await failOne()]).toEqual(['running', 'paused']);
    await store.resume(act(batch));
    // Retrying takes two failures away; the two that follow must use the budget up again.
    expect(await store.retry(act(batch))).toMatchObject({ retried: 2, batch: { failed_items: 0 } });
    expect([await failOne(), await failOne()]).toEqual(['running', 'paused']);
  });

  test('does not judge a share before its warm-up', async ({ started, lease, record, get }) => {
    const batch = await started({ items: 10, policies: { failure_budget: { percent: 50, min_items: 4 } } });
    const held = await lease(batch);
    const statuses = ['failed', 'failed', 'completed', 'failed'] as const;
    for (const [index, status] of statuses.entries()) {
      expect((await get(batch)).status).toBe('running');
      await record(
        held,
        held.items.slice(index, index + 1).map((item) => makeOutcome(item, { status })),
      );
    }
    expect(await get(batch)).toMatchObject({ status: 'paused', pause_reason: 'failure_budget' });
  });

  test('stays below a share that is not reached', async ({ started, work, get }) => {
    const batch = await started({ items: 10, policies: { failure_budget: { percent: 50, min_items: 4 } } });
    await work(batch, [3, 6, 9]);
    expect(await get(batch)).toMatchObject({ status: 'partially_completed', failed_items: 3 });
  });

  test('ends rather than pauses with the last item', async ({ started, work, get }) => {
    const batch = await started({ items: 2, policies: { failure_budget: { count: 2 } } });
    await work(batch, [1, 2]);
    expect(await get(batch)).toMatchObject({ status: 'failed', pause_reason: null });
  });

  test("leaves a user's pause alone", async ({ store, started, act, lease, finish, get }) => {
    const batch = await started({ items: 4, policies: { failure_budget: { count: 1 } } });
    const held = await lease(batch, { limit: 2 });
    await store.pause({ ...act(batch), reason: 'user', mode: 'drain' });
    await finish(held, [1, 2]);
    expect(await get(batch)).toMatchObject({ pause_reason: 'user', failed_items: 2 });
    expect(await store.resume(act(batch))).toMatchObject({ status: 'running' });
  });
}
