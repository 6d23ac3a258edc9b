import { expect } from 'vitest';
import { makeBatch, makeOutcome } from '../../factories.ts';
import { type Named, refused, type Scene, type StoreTest } from './scene.ts';

function merge({ store, clock }: Scene, batches: readonly Named[], name: string | null = 'merged') {
  const batchIds = batches.map(({ id }) => id);
  const space = batches[0]?.space ?? 'default';
  return store.merge({ space, batch_ids: batchIds, id: makeBatch().id, name, now: clock.now(), by: 'ann' });
}

/** Merging batches. */
export function mergeCases(test: StoreTest): void {
  test('moves the unrun items of drafts into a new draft', async (scene) => {
    const { draft, get, statuses, store, ref, work, act } = scene;
    const [a, b] = [await draft({ items: 2 }), await draft({ items: 3 })];
    const merged = await merge(scene, [a, b]);
    expect(merged).toMatchObject({
      status: 'draft',
      name: 'merged',
      processor: a.processor,
      total_items: 5,
      pending_items: 5,
      created_by: 'ann',
    });
    expect(await get(a)).toMatchObject({ status: 'cancelled', cancelled_items: 2, merged_into: merged.id });
    expect(await get(b)).toMatchObject({ status: 'cancelled', cancelled_items: 3, merged_into: merged.id });
    expect(await statuses(a)).toEqual({ 1: 'cancelled', 2: 'cancelled' });
    const { data } = await store.items({ ...ref(merged), after: 0, limit: 10 });
    expect(data.map(({ seq, input }) => [seq, input])).toEqual([
      [1, { n: 1 }],
      [2, { n: 2 }],
      [3, { n: 1 }],
      [4, { n: 2 }],
      [5, { n: 3 }],
    ]);
    await store.start(act(merged));
    await work(merged);
    expect(await get(merged)).toMatchObject({ status: 'completed', completed_items: 5 });
  });

  test('leaves outcomes where they are', async (scene) => {
    const { started, lease, finish, store, act, get, statuses } = scene;
    const paused = await started({ items: 4 });
    await finish(await lease(paused, { limit: 2 }), [2]);
    await store.pause({ ...act(paused), reason: 'user', mode: 'drain' });
    const cancelled = await started({ items: 2 });
    await finish(await lease(cancelled, { limit: 1 }));
    await store.cancel(act(cancelled));
    const merged = await merge(scene, [paused, cancelled]);
    expect(merged).toMatchObject({ total_items: 3, pending_items: 3 });
    expect(await statuses(paused)).toEqual({ 1: 'completed', 2: 'failed', 3: 'cancelled', 4: 'cancelled' });
    expect(await get(paused)).toMatchObject({ status: 'partially_completed', merged_into: merged.id });
    expect(await get(cancelled)).toMatchObject({
      status: 'cancelled',
      cancelled_items: 1,
      merged_into: merged.id,
    });
  });

  test('takes an item that waits for its retry', async (scene) => {
    const { started, lease, record, store, act, clock } = scene;
    const batch = await started({ items: 2 });
    const held = await lease(batch);
    await record(
      held,
      held.items.map((item) => makeOutcome(item, { status: 'retry', ready_at: clock.now() + 60_000 })),
    );
    await store.pause({ ...act(batch), reason: 'user', mode: 'drain' });
    const merged = await merge(scene, [batch]);
    expect(merged).toMatchObject({ total_items: 2, pending_items: 2 });
  });

  test('refuses a paused batch whose items still run', async (scene) => {
    const { started, lease, store, act, get } = scene;
    const batch = await started();
    await lease(batch, { limit: 1 });
    const paused = await store.pause({ ...act(batch), reason: 'user', mode: 'drain' });
    await refused(merge(scene, [batch]), 'wrong_status');
    expect(await get(batch)).toEqual(paused);
  });

  test('merges all or nothing', async (scene) => {
    const { draft, started, get } = scene;
    const [a, b] = [await draft(), await started()];
    await refused(merge(scene, [a, b]), 'wrong_status');
    await refused(merge(scene, [a, { ...b, id: makeBatch().id }]), 'not_found');
    expect(await get(a)).toEqual(a);
    expect((await scene.store.list({ space: 'default', limit: 10, offset: 0 })).total).toBe(2);
  });

  test('refuses batches of different processors', async (scene) => {
    const { draft, get } = scene;
    const [a, b] = [await draft(), await draft({ processor: 'pages.edit' })];
    await expect(merge(scene, [a, b])).rejects.toThrow();
    expect(await get(a)).toEqual(a);
  });

  test('names a merged batch that nobody named', async (scene) => {
    const merged = await merge(scene, [await scene.draft()], null);
    expect(merged.name).not.toBe('');
    expect(merged.batch_counter).toBe(2);
  });

  test('asks for approval where one of the merged batches did', async (scene) => {
    const { draft, store, act } = scene;
    const merged = await merge(scene, [await draft(), await draft({ requires_approval: true })]);
    expect(await store.start(act(merged))).toMatchObject({ status: 'awaiting_approval' });
  });
}
