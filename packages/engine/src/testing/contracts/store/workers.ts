import { expect } from 'vitest';
import type { WorkerBeat } from '../../../ports/store.ts';
import { makeOutcome } from '../../factories.ts';
import type { Scene, StoreTest } from './scene.ts';

function makeWorker(fields: Partial<WorkerBeat> = {}): WorkerBeat {
  return {
    boot: 'boot-1',
    name: 'machine:17',
    pools: ['default'],
    processors: [{ name: 'photos.develop', version: '1.2.0' }],
    version: '0.1.0',
    concurrency: 4,
    running: 0,
    started_at: 1_000,
    ...fields,
  };
}

/** Somebody else starts, or looks after the dead, beside workers that may live. */
function recover({ store, clock }: Scene, fields: Partial<Parameters<Scene['store']['recover']>[0]> = {}) {
  return store.recover({
    boot: 'boot-9',
    alone: false,
    review: [],
    policy: null,
    now: clock.now(),
    ...fields,
  });
}

/** Who works, what they may lease, and who is dead. */
export function workerCases(test: StoreTest): void {
  test('shows the workers that beat, as they last said', async ({ store, clock }) => {
    const [first, second] = [
      makeWorker(),
      makeWorker({ boot: 'boot-2', pools: ['gpu', 'default'], started_at: 2_000 }),
    ];
    await store.beat(second, clock.now());
    await store.beat(first, clock.now());
    const now = clock.advance(2_000);
    await store.beat({ ...first, running: 3 }, now);
    expect(await store.workers(now)).toEqual([
      { ...first, running: 3, seen_at: now, is_alive: true },
      { ...second, seen_at: now - 2_000, is_alive: true },
    ]);
  });

  test('counts a worker as dead after 6 s of silence, and shows it for an hour', async ({ store, clock }) => {
    await store.beat(makeWorker(), clock.now());
    const alive = async () => (await store.workers(clock.now())).map(({ is_alive }) => is_alive);
    clock.advance(6_000);
    expect(await alive()).toEqual([true]);
    clock.advance(1);
    expect(await alive()).toEqual([false]);
    clock.advance(3_600_000);
    expect(await alive()).toEqual([]);
  });

  test('forgets a worker that leaves', async ({ store, clock }) => {
    await store.beat(makeWorker(), clock.now());
    await store.leave({ boot: 'boot-1', now: clock.now() });
    await store.leave({ boot: 'boot-1', now: clock.now() });
    expect(await store.workers(clock.now())).toEqual([]);
  });

  test('recovers the leases of workers that do not beat, and of no others', async (scene) => {
    const { store, started, lease, finish, clock } = scene;
    const [a, b, c] = [await started(), await started(), await started()];
    await store.beat(makeWorker({ boot: 'living' }), clock.now());
    await store.beat(makeWorker({ boot: 'silent' }), clock.now() - 6_001);
    const [living, silent, unknown] = [
      await lease(a, { boot: 'living' }),
      await lease(b, { boot: 'silent' }),
      await lease(c, { boot: 'unknown' }),
    ];
    const own = await lease(await started(), { boot: 'boot-9' });
    const report = await recover(scene);
    expect([report.leases, [...report.recovered].sort()]).toEqual([2, [b.id, c.id].sort()]);
    for (const held of [living, own]) expect(await finish(held)).toMatchObject({ lost: false, accepted: 3 });
    for (const held of [silent, unknown]) expect(await finish(held)).toMatchObject({ lost: true });
  });

  test('leaves batches in living hands alone, whatever their policy', async (scene) => {
    const { store, started, lease, clock, get } = scene;
    const batch = await started({ policies: { recovery: 'review' } });
    await store.beat(makeWorker({ boot: 'living' }), clock.now());
    await lease(batch, { boot: 'living' });
    const before = await get(batch);
    expect(await recover(scene, { policy: 'review' })).toMatchObject({ leases: 0, interrupted: [] });
    expect(await get(batch)).toEqual(before);
  });

  test('who is alone takes everything over, from living workers too', async (scene) => {
    const { store, started, lease, clock } = scene;
    const batch = await started();
    await store.beat(makeWorker({ boot: 'living' }), clock.now());
    await store.beat(makeWorker({ boot: 'boot-9' }), clock.now());
    await lease(batch, { boot: 'living' });
    expect(await recover(scene, { alone: true })).toMatchObject({ leases: 1, recovered: [batch.id] });
    expect((await store.workers(clock.now())).map(({ boot }) => boot)).toEqual(['boot-9']);
  });

  test('takes a silent lease away while its worker lives, unburned', async ({
    store,
    started,
    lease,
    clock,
  }) => {
    const batch = await started();
    const first = await lease(batch);
    clock.advance(7_000);
    await store.beat(makeWorker(), clock.now());
    expect(await store.sweep(clock.now())).toEqual({ expired: 1 });
    const again = await lease(batch);
    expect(again.items).toEqual(first.items);
  });

  test('leaves the leases of a dead worker to recovery, which counts the crash', async (scene) => {
    const { store, started, lease, clock, get } = scene;
    const batch = await started();
    await store.beat(makeWorker(), clock.now());
    const first = await lease(batch);
    clock.advance(7_000);
    expect(await store.sweep(clock.now())).toEqual({ expired: 0 });
    expect(await get(batch)).toMatchObject({ running_items: 3 });
    expect(await recover(scene)).toMatchObject({ leases: 1 });
    const again = await lease(batch);
    const numbers = (items: typeof first.items) =>
      items.map(({ attempt, last_attempt }) => [attempt, last_attempt]);
    expect(numbers(again.items)).toEqual(numbers(first.items).map(([a = 0, b = 0]) => [a + 1, b + 1]));
  });

  test('refuses a batch that the worker does not serve, and touches nothing', async (scene) => {
    const { store, started, refusal, lease, clock, get } = scene;
    const batch = await started({ processor: 'photos.develop', processor_version: '2.1.0' });
    const before = [await get(batch), await store.state(scene.ref(batch))];
    for (const serves of [[], [{ name: 'photos.develop', major: '1' }], [{ name: 'other', major: '2' }]]) {
      expect(await refusal(batch, { serves })).toEqual({
        refused: 'not_served',
        next_ready_at: null,
        needs: { processor: 'photos.develop', processor_version: '2.1.0' },
      });
    }
    expect([await get(batch), await store.state(scene.ref(batch))]).toEqual(before);
    const held = await lease(batch, { serves: [{ name: 'photos.develop', major: '2' }] });
    expect(held.items).toHaveLength(3);
    await store.release([held.token], clock.now());
  });

  test('says whether a batch has something ready', async (scene) => {
    const { store, started, draft, lease, record, act, clock } = scene;
    const isReady = ({ id }: { id: string }) => store.isReady({ batch_id: id, now: clock.now() });
    expect([await isReady(await draft()), await isReady({ id: 'bat_unknown' })]).toEqual([false, false]);
    const batch = await started({ items: 3, concurrency: 2 });
    expect(await isReady(batch)).toBe(true);
    const held = await lease(batch, { width: 2, limit: 2 });
    expect(await isReady(batch)).toBe(false);
    await record(held, [makeOutcome(first(held.items))]);
    expect(await isReady(batch)).toBe(true);
    const last = await lease(batch, { width: 1 });
    expect(await isReady(batch)).toBe(false);
    const readyAt = clock.now() + 500;
    await record(last, [makeOutcome(first(last.items), { status: 'retry', ready_at: readyAt })]);
    expect(await isReady(batch)).toBe(false);
    clock.advance(500);
    expect(await isReady(batch)).toBe(true);
    await store.pause({ ...act(batch), reason: 'user', mode: 'drain' });
    expect(await isReady(batch)).toBe(false);
  });
}

function first<T>(list: readonly T[]): T {
  const [item] = list;
  if (item === undefined) throw new Error('The list is empty.');
  return item;
}
