import { PAUSE_REASONS } from '@sheaf/protocol';
import { expect } from 'vitest';
import { makeOutcome } from '../../factories.ts';
import { refused, type StoreTest } from './scene.ts';

/** Start, approval, pause, resume, cancel, update and delete. */
export function controlCases(test: StoreTest): void {
  test('starts a draft', async ({ store, draft, act, events }) => {
    const batch = await draft();
    expect(await store.start(act(batch))).toMatchObject({ status: 'queued', pending_items: 3 });
    expect(await events(batch)).toEqual(['batch_created', 'batch_status queued']);
  });

  test('waits for approval where the batch asks for it', async ({ store, started, act, refusal, lease }) => {
    const batch = await started({ requires_approval: true });
    expect(batch.status).toBe('awaiting_approval');
    expect((await refusal(batch)).refused).toBe('not_active');
    expect(await store.approve(act(batch))).toMatchObject({ status: 'queued' });
    expect((await lease(batch)).items).toHaveLength(3);
  });

  test('completes an empty batch when it is approved', async ({ store, started, act }) => {
    const batch = await started({ items: 0, requires_approval: true });
    expect(batch.status).toBe('awaiting_approval');
    expect(await store.approve(act(batch))).toMatchObject({ status: 'completed' });
  });

  test('ends a rejected batch as cancelled', async ({ store, started, act, statuses }) => {
    const batch = await started({ requires_approval: true });
    expect(await store.reject(act(batch))).toMatchObject({
      status: 'cancelled',
      cancelled_items: 3,
      pending_items: 0,
    });
    expect(await statuses(batch)).toEqual({ 1: 'cancelled', 2: 'cancelled', 3: 'cancelled' });
  });

  test('rejects only what awaits approval', async ({ store, started, draft, act }) => {
    for (const batch of [await draft(), await started()]) {
      const { details } = await refused(store.reject(act(batch)), 'wrong_status');
      expect(details.current_status).toBe(batch.status);
    }
  });

  test('a rejected batch that is retried waits for approval again', async ({
    store,
    started,
    act,
    refusal,
    lease,
  }) => {
    const batch = await started({ requires_approval: true });
    await store.reject(act(batch));
    expect(await store.retry(act(batch))).toMatchObject({
      retried: 3,
      batch: { status: 'awaiting_approval' },
    });
    expect((await refusal(batch)).refused).toBe('not_active');
    await store.approve(act(batch));
    await store.cancel(act(batch));
    // Approved once, it does not ask again.
    expect(await store.retry(act(batch))).toMatchObject({ batch: { status: 'queued' } });
    expect((await lease(batch)).items).toHaveLength(3);
  });

  test('becomes running with its first lease', async ({ started, lease, get, clock, events }) => {
    const batch = await started();
    clock.advance(500);
    await lease(batch, { limit: 1, width: 1 });
    expect(await get(batch)).toMatchObject({ status: 'running', running_items: 1, pending_items: 2 });
    expect((await events(batch)).at(-1)).toBe('batch_status running');
  });

  test('starts nothing while it is paused', async ({ store, started, act, refusal, lease, clock }) => {
    const batch = await started();
    const paused = await store.pause({ ...act(batch, 'ann'), reason: 'user', mode: 'drain' });
    expect(paused).toMatchObject({
      status: 'paused',
      pause_reason: 'user',
      paused_by: 'ann',
      paused_at: clock.now(),
    });
    expect((await refusal(batch)).refused).toBe('not_active');
    const resumed = await store.resume(act(batch));
    expect(resumed).toMatchObject({ status: 'queued', pause_reason: null, paused_by: null, paused_at: null });
    expect((await lease(batch)).items).toHaveLength(3);
  });

  test('goes back to where it was', async ({ store, started, act, lease }) => {
    const batch = await started();
    await lease(batch, { limit: 1 });
    await store.pause({ ...act(batch), reason: 'user', mode: 'now' });
    expect(await store.resume(act(batch))).toMatchObject({ status: 'running' });
  });

  test('pause drain lets what was leased be recorded', async ({
    store,
    started,
    act,
    lease,
    finish,
    get,
    clock,
  }) => {
    const batch = await started({ items: 4 });
    const held = await lease(batch, { limit: 2 });
    await store.pause({ ...act(batch), reason: 'user', mode: 'drain' });
    clock.advance(4_000);
    expect(await store.renew([held.token], clock.now())).toMatchObject([{ held: true, status: 'paused' }]);
    clock.advance(4_000);
    expect(await store.sweep(clock.now())).toEqual({ expired: 0 });
    expect(await finish(held)).toMatchObject({
      lost: false,
      accepted: 2,
      refused: 0,
      batch: { status: 'paused' },
    });
    expect(await get(batch)).toMatchObject({ completed_items: 2, pending_items: 2, running_items: 0 });
  });

  test('pause drain gives a lease no further items', async ({ store, started, act, lease, record }) => {
    const batch = await started({ items: 4 });
    const held = await lease(batch, { limit: 2 });
    await store.pause({ ...act(batch), reason: 'user', mode: 'drain' });
    const answer = await record(
      held,
      held.items.map((item) => makeOutcome(item)),
      { more: 2 },
    );
    expect(answer).toMatchObject({ accepted: 2, items: [], batch: { status: 'paused' } });
  });

  test('settles a paused batch with the last record', async ({ store, started, act, lease, finish, get }) => {
    const batch = await started({ items: 2 });
    const held = await lease(batch);
    await store.pause({ ...act(batch), reason: 'user', mode: 'drain' });
    expect(await finish(held)).toMatchObject({ batch: { status: 'completed' } });
    expect(await get(batch)).toMatchObject({ status: 'completed', pause_reason: null });
  });

  test('pause now takes everything back unburned', async ({
    store,
    started,
    act,
    lease,
    finish,
    get,
    statuses,
    clock,
  }) => {
    const batch = await started({ items: 3 });
    const held = await lease(batch, { limit: 2 });
    await store.pause({ ...act(batch), reason: 'user', mode: 'now' });
    expect(await store.renew([held.token], clock.now())).toMatchObject([{ held: false }]);
    expect(await finish(held)).toMatchObject({ lost: true, accepted: 0, refused: 2, batch: null });
    expect(await get(batch)).toMatchObject({
      status: 'paused',
      completed_items: 0,
      running_items: 0,
      pending_items: 3,
    });
    expect(await statuses(batch)).toEqual({ 1: 'pending', 2: 'pending', 3: 'pending' });
    await store.resume(act(batch));
    const again = await lease(batch);
    expect(again.items.map(({ seq, attempt, last_attempt }) => [seq, attempt, last_attempt])).toEqual([
      [1, 1, 3],
      [2, 1, 3],
      [3, 1, 3],
    ]);
    expect(await finish(held)).toMatchObject({ lost: true, accepted: 0 });
    expect(await finish(again)).toMatchObject({ accepted: 3, batch: { status: 'completed' } });
  });

  test('keeps what was recorded before a pause now', async ({
    store,
    started,
    act,
    lease,
    record,
    statuses,
    work,
  }) => {
    const batch = await started({ items: 4, policies: { max_attempts: 2 } });
    const held = await lease(batch);
    const [a, b] = held.items;
    if (a === undefined || b === undefined) throw new Error('The lease is too small.');
    await record(held, [makeOutcome(a), makeOutcome(b, { status: 'retry', ready_at: act(batch).now })]);
    await store.pause({ ...act(batch), reason: 'user', mode: 'now' });
    expect(await statuses(batch)).toEqual({ 1: 'completed', 2: 'pending', 3: 'pending', 4: 'pending' });
    await store.resume(act(batch));
    const again = await lease(batch);
    expect(again.items.map(({ seq, attempt }) => [seq, attempt]).sort()).toEqual([
      [2, 2],
      [3, 1],
      [4, 1],
    ]);
    await store.release([again.token], act(batch).now);
    await work(batch);
  });

  test('pause now on a paused batch takes back only the leases', async ({
    store,
    started,
    act,
    lease,
    get,
    finish,
  }) => {
    const batch = await started();
    const held = await lease(batch);
    await store.pause({ ...act(batch, 'ann'), reason: 'user', mode: 'drain' });
    const paused = await store.pause({ ...act(batch, 'bob'), reason: 'disk_full', mode: 'now' });
    expect(paused).toMatchObject({
      status: 'paused',
      pause_reason: 'user',
      paused_by: 'ann',
      running_items: 0,
    });
    expect(await finish(held)).toMatchObject({ lost: true, accepted: 0 });
    expect(await get(batch)).toMatchObject({ pending_items: 3 });
  });

  test("never overwrites a user's pause with another reason", async ({ store, started, act, get }) => {
    const batch = await started();
    await store.pause({ ...act(batch, 'ann'), reason: 'user', mode: 'drain' });
    for (const reason of PAUSE_REASONS) await store.pause({ ...act(batch, 'bob'), reason, mode: 'drain' });
    expect(await get(batch)).toMatchObject({ pause_reason: 'user', paused_by: 'ann' });
  });

  test('takes each reason to pause', async ({ store, started, act }) => {
    for (const reason of PAUSE_REASONS) {
      const batch = await started({ items: 1 });
      expect(await store.pause({ ...act(batch), reason, mode: 'drain' })).toMatchObject({
        pause_reason: reason,
      });
    }
  });

  test('cancel ends a batch at once', async ({
    store,
    started,
    act,
    lease,
    record,
    finish,
    statuses,
    clock,
  }) => {
    const batch = await started({ items: 4 });
    const held = await lease(batch, { limit: 3 });
    const [first] = held.items;
    if (first === undefined) throw new Error('The lease is empty.');
    await record(held, [makeOutcome(first)]);
    const cancelled = await store.cancel(act(batch));
    expect(cancelled).toMatchObject({
      status: 'cancelled',
      completed_items: 1,
      cancelled_items: 3,
      pending_items: 0,
      running_items: 0,
      completed_at: clock.now(),
    });
    expect(await statuses(batch)).toEqual({ 1: 'completed', 2: 'cancelled', 3: 'cancelled', 4: 'cancelled' });
    expect(await finish({ ...held, items: held.items.slice(1) })).toMatchObject({
      lost: true,
      accepted: 0,
      refused: 2,
    });
    expect(await store.renew([held.token], clock.now())).toMatchObject([{ held: false }]);
    expect((await store.sweep(clock.now())).expired).toBe(0);
    expect(await statuses(batch)).toEqual({ 1: 'completed', 2: 'cancelled', 3: 'cancelled', 4: 'cancelled' });
  });

  for (const move of ['cancel', 'pause now'] as const) {
    test(`a record at the same moment as a ${move} counts wholly or not at all`, async (scene) => {
      const { store, started, act, lease, finish, get } = scene;
      const batch = await started({ items: 6 });
      const [held, other] = [await lease(batch, { limit: 3, width: 2 }), await lease(batch, { width: 2 })];
      const [, first, second] = await Promise.all([
        move === 'cancel'
          ? store.cancel(act(batch))
          : store.pause({ ...act(batch), reason: 'user', mode: 'now' }),
        finish(held),
        finish(other, [5]),
      ]);
      const { completed_items, failed_items, cancelled_items, pending_items } = await get(batch);
      expect(completed_items + failed_items).toBe(first.accepted + second.accepted);
      expect(cancelled_items + pending_items).toBe(first.refused + second.refused);
    });
  }

  test('cancels a draft and an empty draft', async ({ store, draft, act }) => {
    expect(await store.cancel(act(await draft()))).toMatchObject({ status: 'cancelled', cancelled_items: 3 });
    expect(await store.cancel(act(await draft({ items: 0 })))).toMatchObject({ status: 'cancelled' });
  });

  test('leases nothing of a cancelled or unknown batch', async ({ store, started, act, refusal }) => {
    const batch = await started();
    await store.cancel(act(batch));
    expect(await refusal(batch)).toMatchObject({ refused: 'not_active' });
    expect(await refusal({ ...batch, id: `${batch.id.slice(0, -1)}z` })).toMatchObject({
      refused: 'not_active',
    });
  });

  test('changes what may change at any time', async ({ store, started, act, get, events, work }) => {
    const batch = await started();
    const fields = { name: 'beach', description: 'sun', labels: { a: 'b' }, metadata: { n: 1 } };
    expect(await store.update({ ...act(batch), fields })).toMatchObject(fields);
    expect((await events(batch)).at(-1)).toBe('batch_changed');
    expect(await store.update({ ...act(batch), fields: { priority: 9, concurrency: 40 } })).toMatchObject({
      ...fields,
      priority: 9,
      concurrency: 40,
    });
    await work(batch);
    expect(await store.update({ ...act(batch), fields: { name: 'done' } })).toMatchObject({ name: 'done' });
    expect(await get(batch)).toMatchObject({ status: 'completed', name: 'done', description: 'sun' });
  });

  test('changes the config of a draft only', async ({ store, draft, act, lease }) => {
    const batch = await draft({ config: { preset: 'cold' } });
    const fields = { config: { preset: 'warm' } };
    expect(await store.update({ ...act(batch), fields })).toMatchObject(fields);
    await store.start(act(batch));
    const { items, configs } = await lease(batch);
    for (const { config_no } of items) expect(configs[config_no]).toEqual({ preset: 'warm' });
    await refused(store.update({ ...act(batch), fields }), 'wrong_status');
  });

  test('hides a deleted batch at once', async ({ store, draft, act, ref, refusal }) => {
    const batch = await draft();
    const other = await draft();
    await store.delete(act(batch));
    await refused(store.get(ref(batch)), 'not_found');
    await refused(store.items({ ...ref(batch), after: 0, limit: 10 }), 'not_found');
    await refused(store.start(act(batch)), 'not_found');
    await refused(store.delete(act(batch)), 'not_found');
    expect((await refusal(batch)).refused).toBe('not_active');
    const { data, total } = await store.list({ space: 'default', limit: 10, offset: 0 });
    expect([data.map(({ id }) => id), total]).toEqual([[other.id], 1]);
    expect(await store.find({ space: 'default', text: batch.id })).toEqual([]);
  });

  test('counts only the time it ran', async ({ store, started, act, lease, clock }) => {
    const batch = await started();
    await lease(batch, { limit: 1 });
    clock.advance(1_000);
    await store.pause({ ...act(batch), reason: 'user', mode: 'now' });
    clock.advance(50_000);
    await store.resume(act(batch));
    clock.advance(2_000);
    expect(await store.cancel(act(batch))).toMatchObject({ ran_ms: 3_000 });
  });
}
