import { expect } from 'vitest';
import { makeOutcome } from '../../factories.ts';
import { refused, type StoreTest } from './scene.ts';

/** A retry of items with completed ones between them. */
export function scatteredCases(test: StoreTest): void {
  test('leases what lies scattered, and gives back just that', async (scene) => {
    const { store, started, act, lease, record, finish, get, clock, statuses } = scene;
    const batch = await started({ items: 40, concurrency: 10, policies: { max_attempts: 2 } });
    const even = Array.from({ length: 20 }, (_, index) => 2 * index + 2);
    await finish(await lease(batch), even);
    expect(await store.retry(act(batch))).toMatchObject({ retried: 20 });
    const held = await lease(batch, { limit: 15, width: 3 });
    expect(held.items.map(({ seq, attempt }) => [seq, attempt])).toEqual(
      even.slice(0, 15).map((seq) => [seq, 2]),
    );
    expect((await lease(batch, { width: 1, limit: 2 })).items.map(({ seq }) => seq)).toEqual([32, 34]);
    // One completes, one fails for good, one is to be tried again, and comes back in between.
    const outcomes = (['completed', 'failed', 'retry'] as const).map((status, index) => {
      const item = held.items[3 * index + 1];
      if (item === undefined) throw new Error('The lease holds too few items.');
      return makeOutcome(item, { status, ready_at: clock.now() });
    });
    expect(await record(held, outcomes)).toMatchObject({ accepted: 3 });
    expect(await store.retry(act(batch))).toMatchObject({ retried: 1 });
    await store.release([held.token], clock.now());
    expect(await get(batch)).toMatchObject({ completed_items: 21, pending_items: 18, running_items: 1 });
    expect(Object.values(await statuses(batch)).filter((status) => status === 'completed')).toHaveLength(21);
    await store.sweep(clock.advance(7_000));
    const rest = (await lease(batch)).items.map(({ seq }) => seq);
    expect(rest).toEqual(even.filter((seq) => seq !== 4));
  });

  test('holds scattered items in few ranges, from which leases take any number', async (scene) => {
    const { store, started, act, lease, finish, work, get, ref } = scene;
    const batch = await started({ items: 9_000, concurrency: 1_000, policies: { max_attempts: 1 } });
    const third = Array.from({ length: 3_000 }, (_, index) => 3 * index + 3);
    await work(batch, third);
    expect(await store.retry(act(batch))).toMatchObject({ retried: 3_000 });
    expect(await store.state(ref(batch))).toMatchObject({ range_count: 3 });
    const seqs: number[] = [];
    for (const limit of [1, 2, 996, 1, 1_000]) {
      const held = await lease(batch, { limit, width: 1 });
      seqs.push(...held.items.map(({ seq }) => seq));
      expect(await store.checkInvariants()).toEqual([]);
      await finish(held);
    }
    expect(seqs).toEqual(third.slice(0, 2_000));
    expect(await get(batch)).toMatchObject({ completed_items: 8_000, pending_items: 1_000 });
    const { data } = await store.items({ ...ref(batch), after: 6_000, limit: 4, status: ['pending'] });
    expect(data.map(({ seq }) => seq)).toEqual([6_003, 6_006, 6_009, 6_012]);
    await work(batch);
    expect(await get(batch)).toMatchObject({ status: 'completed', completed_items: 9_000 });
  });

  test('leaves out of what lies scattered an item that is removed', async (scene) => {
    const { store, started, act, lease, work, finish } = scene;
    const batch = await started({ items: 40 });
    await work(batch, [5, 10, 15, 20, 25]);
    await store.retry(act(batch));
    for (const seq of [5, 15, 25]) {
      await store.removeItem({ ...act(batch), seq });
      expect(await store.checkInvariants()).toEqual([]);
    }
    await refused(store.removeItem({ ...act(batch), seq: 11 }), 'wrong_status');
    const first = await lease(batch, { limit: 1 });
    expect(first.items).toMatchObject([{ seq: 10, attempt: 2 }]);
    await store.removeItem({ ...act(batch), seq: 20 });
    expect(await finish(first)).toMatchObject({ batch: { status: 'completed', completed_items: 36 } });
  });

  test('takes scattered items that were tried more or less often', async (scene) => {
    const { store, started, act, lease, work, finish } = scene;
    const batch = await started({ items: 30, policies: { max_attempts: 1 } });
    await work(batch, [3, 6, 9, 12, 15]);
    await store.retry({ ...act(batch), items: [6, 12] });
    await work(batch, [6, 12]);
    await store.retry(act(batch));
    const held = await lease(batch);
    expect(held.items.map(({ seq, attempt }) => [seq, attempt])).toEqual([
      [3, 2],
      [6, 3],
      [9, 2],
      [12, 3],
      [15, 2],
    ]);
    expect(await finish(held)).toMatchObject({ batch: { status: 'completed' } });
  });

  test('leaves alone what a second round has completed', async ({
    store,
    started,
    act,
    lease,
    work,
    finish,
  }) => {
    const batch = await started({ items: 20, policies: { max_attempts: 1 } });
    await work(batch, [3, 6, 9, 12, 15]);
    await store.retry(act(batch));
    await work(batch, [3, 9, 15]);
    expect(await store.retry(act(batch))).toMatchObject({ retried: 3 });
    const held = await lease(batch);
    expect(held.items.map(({ seq, attempt }) => [seq, attempt])).toEqual([
      [3, 3],
      [9, 3],
      [15, 3],
    ]);
    expect(await finish(held)).toMatchObject({ batch: { status: 'completed', completed_items: 20 } });
  });

  test('leases exactly as many as asked for of neighbours that are due again', async (scene) => {
    const { started, lease, record, clock } = scene;
    const batch = await started({ items: 40 });
    const held = await lease(batch);
    const isPair = (seq: number) => seq % 5 < 2;
    await record(
      held,
      held.items.map((item) =>
        makeOutcome(item, isPair(item.seq) ? { status: 'retry', ready_at: clock.now() } : {}),
      ),
    );
    const due = held.items.map(({ seq }) => seq).filter(isPair);
    const seqs = async (limit: number) =>
      (await lease(batch, { limit, width: 1 })).items.map(({ seq }) => seq);
    expect(await seqs(8)).toEqual(due.slice(0, 8));
    expect(await seqs(9)).toEqual(due.slice(8));
  });

  test('takes each attempt of a second round once, and none after a result', async (scene) => {
    const { store, started, act, lease, record, work, ref, clock, get } = scene;
    const batch = await started({ items: 9 });
    await work(batch, [2, 5, 8]);
    await store.retry(act(batch));
    const held = await lease(batch);
    const [two, five] = held.items;
    if (two === undefined || five === undefined) throw new Error('The lease holds too few items.');
    const later = makeOutcome(two, { status: 'retry', ready_at: clock.now() + 1_000 });
    expect(await record(held, [later])).toMatchObject({ accepted: 1 });
    for (const outcome of [later, makeOutcome(two), makeOutcome(two, { status: 'failed' })]) {
      expect(await record(held, [outcome])).toMatchObject({ accepted: 0, refused: 0 });
    }
    expect(await record(held, [makeOutcome(five)])).toMatchObject({ accepted: 1 });
    const beyond = makeOutcome({ ...five, attempt: five.attempt + 1 }, { status: 'failed' });
    expect(await record(held, [beyond])).toMatchObject({ accepted: 0, refused: 1 });
    expect(await get(batch)).toMatchObject({ completed_items: 7, failed_items: 0, pending_items: 1 });
    expect(await store.item({ ...ref(batch), seq: 5 })).toMatchObject({ status: 'completed', attempt: 2 });
    expect(await store.item({ ...ref(batch), seq: 2 })).toMatchObject({ status: 'pending', attempt: 2 });
  });

  test('takes items that lie very far apart', async ({ store, started, act, lease, work, ref, finish }) => {
    const batch = await started({ items: 5_000, concurrency: 1_000 });
    const crowd = Array.from({ length: 1_000 }, (_, index) => 2 * index + 2);
    await work(batch, [...crowd, 2_500, 5_000]);
    expect(await store.retry(act(batch))).toMatchObject({ retried: 1_002 });
    expect(await store.state(ref(batch))).toMatchObject({ range_count: 3 });
    const held = [await lease(batch, { width: 1 }), await lease(batch, { width: 1 })];
    expect(held.map(({ items }) => items.map(({ seq }) => seq))).toEqual([crowd, [2_500, 5_000]]);
    for (const one of held) await finish(one);
    expect(await store.get(ref(batch))).toMatchObject({ status: 'completed' });
  });

  test('takes scattered items of a batch that was cancelled meanwhile', async (scene) => {
    const { store, started, act, lease, work, finish, statuses } = scene;
    const batch = await started({ items: 12 });
    await work(batch, [2, 6, 10]);
    await store.retry(act(batch));
    await finish(await lease(batch, { limit: 1 }));
    await store.cancel(act(batch));
    const cancelled = Object.entries(await statuses(batch)).filter(([, status]) => status === 'cancelled');
    expect(cancelled.map(([seq]) => seq)).toEqual(['6', '10']);
    expect(await store.retry(act(batch))).toMatchObject({ retried: 2 });
    const again = await lease(batch);
    expect(again.items).toMatchObject([
      { seq: 6, attempt: 2 },
      { seq: 10, attempt: 2 },
    ]);
    expect(await finish(again)).toMatchObject({ batch: { status: 'completed', completed_items: 12 } });
  });
}
