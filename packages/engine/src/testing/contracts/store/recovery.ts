import { expect } from 'vitest';
import type { Lease } from '../../../ports/leasing.ts';
import { makeItems, makeOutcome } from '../../factories.ts';
import type { Named, Scene, StoreTest } from './scene.ts';

const seqs = ({ items }: Lease) => items.map(({ seq }) => seq);

/** The process of `boot-1` is gone and another one takes over. */
async function crash(
  { store, clock }: Scene,
  fields: Partial<Parameters<Scene['store']['recover']>[0]> = {},
) {
  return store.recover({
    boot: 'boot-2',
    alone: true,
    review: [],
    policy: null,
    now: clock.now(),
    ...fields,
  });
}

/** Loses the host of whatever is leased, as often as asked, leasing again in between. */
async function loseHosts(scene: Scene, batch: Named, times: number): Promise<void> {
  for (let lost = 0; lost < times; lost++) {
    await scene.lease(batch);
    await crash(scene);
  }
}

/** What follows a lost host. */
export function recoveryCases(test: StoreTest): void {
  test('takes the leases of every other boot away', async (scene) => {
    const { store, started, lease, finish, clock } = scene;
    const [a, b] = [await started(), await started()];
    const lost = await lease(a, { boot: 'boot-1' });
    const kept = await lease(b, { boot: 'boot-2' });
    expect(await crash(scene)).toEqual({ leases: 1, recovered: [a.id], interrupted: [], poisoned: 0 });
    expect(await store.renew([lost.token, kept.token], clock.now())).toMatchObject([
      { held: false },
      { held: true },
    ]);
    expect(await finish(lost)).toMatchObject({ lost: true, accepted: 0, refused: 3 });
    expect(await finish(kept)).toMatchObject({ accepted: 3 });
  });

  test('does not count the time in which no server ran', async (scene) => {
    const { clock, started, lease, finish, get } = scene;
    const batch = await started({ items: 4 });
    const held = await lease(batch, { limit: 1 });
    clock.advance(2_000);
    await finish(held);
    await lease(batch);
    clock.advance(3_600_000);
    await crash(scene);
    expect(await get(batch)).toMatchObject({ status: 'running', ran_ms: 2_000 });
  });

  test('recovering again finds nothing more', async (scene) => {
    const batch = await scene.started();
    await scene.lease(batch);
    await crash(scene);
    const before = await scene.get(batch);
    expect(await crash(scene, { boot: 'boot-3' })).toMatchObject({ leases: 0, interrupted: [], poisoned: 0 });
    expect(await scene.get(batch)).toEqual(before);
  });

  test('takes a lease away once that ends at the same time', async (scene) => {
    const { store, started, lease, clock, get } = scene;
    const batch = await started({ items: 30, concurrency: 6 });
    const held = [];
    for (let turn = 0; turn < 3; turn++) held.push(await lease(batch, { width: 2, limit: 3 }));
    const [a, b, c] = held.map(({ token }) => token);
    const outcomes = held[1]?.items.map((item) => makeOutcome(item)) ?? [];
    await Promise.all([
      crash(scene),
      store.release([a ?? ''], clock.now()),
      store.record([{ token: b ?? '', batch_id: batch.id, outcomes, more: 0, width: 2 }], clock.now()),
      crash(scene, { boot: 'boot-3' }),
      store.sweep(clock.now() + 7_000),
      store.release([c ?? ''], clock.now()),
    ]);
    expect(await get(batch)).toMatchObject({ running_items: 0 });
    expect((await lease(batch)).width).toBe(6);
  });

  test('burns no attempt of items that lost their host', async (scene) => {
    const { started, lease, get, ref, store } = scene;
    const batch = await started({ items: 3, policies: { max_attempts: 2 } });
    await lease(batch);
    await crash(scene);
    expect(await get(batch)).toMatchObject({
      status: 'running',
      pending_items: 3,
      running_items: 0,
      failed_items: 0,
    });
    const { items } = await lease(batch);
    for (const { attempt, last_attempt } of items) expect(last_attempt - attempt).toBe(1);
    expect(await store.item({ ...ref(batch), seq: 1 })).toMatchObject({ attempts: [] });
  });

  test('keeps what was recorded before the crash', async (scene) => {
    const { started, lease, record, statuses } = scene;
    const batch = await started({ items: 4 });
    const held = await lease(batch);
    await record(
      held,
      held.items
        .slice(1, 3)
        .map((item) => makeOutcome(item, { status: item.seq === 2 ? 'completed' : 'failed' })),
    );
    await crash(scene);
    expect(await statuses(batch)).toEqual({ 1: 'pending', 2: 'completed', 3: 'failed', 4: 'pending' });
  });

  test('tries items that lost a host in lots of the width', async (scene) => {
    const batch = await scene.started({ items: 20, concurrency: 10 });
    await scene.lease(batch, { width: 10 });
    await crash(scene);
    const again = await scene.lease(batch, { width: 3, limit: 1_000, idle: false });
    expect([again.width, again.alone, seqs(again)]).toEqual([3, false, [1, 2, 3]]);
  });

  test('leases items that lost their host once before fresh ones, so that a large batch does not hold them up', async (scene) => {
    const batch = await scene.started({ items: 6, concurrency: 10 });
    await scene.lease(batch, { limit: 3 });
    await crash(scene);
    expect(seqs(await scene.lease(batch))).toEqual([1, 2, 3]);
    expect(seqs(await scene.lease(batch))).toEqual([4, 5, 6]);
  });

  test('tries items alone after a second loss, in an idle worker', async (scene) => {
    const { started, lease, refusal } = scene;
    const batch = await started({ items: 3, concurrency: 10 });
    await loseHosts(scene, batch, 2);
    expect(await refusal(batch, { idle: false })).toMatchObject({ refused: 'needs_idle' });
    const alone = await lease(batch, { idle: true });
    expect([alone.alone, alone.width, seqs(alone)]).toEqual([true, 1, [1]]);
  });

  test('leases other items to a busy worker beside those that need an idle one', async (scene) => {
    const { store, started, act, lease } = scene;
    const batch = await started({ items: 2, concurrency: 10 });
    await loseHosts(scene, batch, 2);
    await store.append(act(batch), makeItems(2));
    expect(seqs(await lease(batch, { idle: false }))).toEqual([3, 4]);
  });

  test('gives a turn nothing more that must run alone, nor anything beside it', async (scene) => {
    const { store, started, act, lease, record } = scene;
    const batch = await started({ items: 2, concurrency: 10 });
    await loseHosts(scene, batch, 2);
    await store.append(act(batch), makeItems(1));
    const fresh = await lease(batch);
    expect(seqs(fresh)).toEqual([3]);
    expect(
      await record(
        fresh,
        fresh.items.map((item) => makeOutcome(item)),
        { more: 10 },
      ),
    ).toMatchObject({ items: [] });
    const alone = await lease(batch);
    await store.append(act(batch), makeItems(5));
    expect(await record(alone, [], { more: 10, width: 5 })).toMatchObject({ items: [], width: 1 });
  });

  test('parks an item that keeps losing its host while alone', async (scene) => {
    const { started, lease, get, ref, store, finish, statuses } = scene;
    const batch = await started({ items: 3, policies: { max_attempts: 2 } });
    await loseHosts(scene, batch, 2);
    // Item 1 is innocent, item 2 kills its host each time.
    expect(await finish(await lease(batch))).toMatchObject({ accepted: 1 });
    expect(seqs(await lease(batch))).toEqual([2]);
    expect(await crash(scene)).toMatchObject({ poisoned: 0 });
    const third = await lease(batch);
    expect(seqs(third)).toEqual([3]);
    await finish(third);
    expect(seqs(await lease(batch))).toEqual([2]);
    expect(await crash(scene)).toMatchObject({ poisoned: 1, leases: 1 });
    expect(await statuses(batch)).toEqual({ 1: 'completed', 2: 'failed', 3: 'completed' });
    expect(await get(batch)).toMatchObject({ status: 'partially_completed', failed_items: 1 });
    expect(await store.item({ ...ref(batch), seq: 2 })).toMatchObject({ error: { code: 'poison' } });
    expect(await store.causes(ref(batch))).toMatchObject([{ code: 'poison', count: 1 }]);
  });

  test('lets a poison item be retried', async (scene) => {
    const { store, started, act, ref, lease, finish, get } = scene;
    const batch = await started({ items: 1, policies: { max_attempts: 1 } });
    await loseHosts(scene, batch, 3);
    expect(await get(batch)).toMatchObject({ status: 'failed', failed_items: 1 });
    expect(await store.retry(act(batch))).toMatchObject({ retried: 1 });
    const held = await lease(batch);
    expect(held.items).toHaveLength(1);
    const [item] = held.items;
    expect(item?.attempt).toBe(item?.last_attempt);
    expect(await finish(held)).toMatchObject({ batch: { status: 'completed' } });
    // What it did before stays in its history.
    const { attempts } = await store.item({ ...ref(batch), seq: 1 });
    expect(attempts[0]).toMatchObject({ error: { code: 'poison' } });
  });

  test('forgets lost hosts with a recorded failure', async (scene) => {
    const { started, lease, record, clock } = scene;
    const batch = await started({ items: 2 });
    await loseHosts(scene, batch, 2);
    for (let times = 0; times < 2; times++) {
      const alone = await lease(batch);
      expect(alone.alone).toBe(true);
      await record(
        alone,
        alone.items.map((item) => makeOutcome(item, { status: 'retry', ready_at: clock.now() + 10 })),
      );
    }
    clock.advance(10);
    const again = await lease(batch, { idle: false });
    expect([again.alone, seqs(again)]).toEqual([false, [1, 2]]);
  });

  test('an alone lease that is given back or expires burns nothing', async (scene) => {
    const { store, started, lease, clock } = scene;
    const batch = await started({ items: 1, policies: { max_attempts: 1 } });
    await loseHosts(scene, batch, 2);
    const numbers = ({ items }: Lease) => items.map(({ attempt, last_attempt }) => [attempt, last_attempt]);
    const first = await lease(batch);
    await store.release([first.token], clock.now());
    const second = await lease(batch);
    expect(await store.sweep(clock.advance(7_000))).toEqual({ expired: 1 });
    const third = await lease(batch);
    expect([numbers(second), numbers(third), third.alone]).toEqual([numbers(first), numbers(first), true]);
  });

  test('holds interrupted batches of the named processors for review', async (scene) => {
    const { started, lease, get, events } = scene;
    const risky = await started({ processor: 'mail.send' });
    const safe = await started();
    for (const batch of [risky, safe]) await lease(batch);
    expect(await crash(scene, { review: ['mail.send'] })).toEqual({
      leases: 2,
      recovered: [safe.id],
      interrupted: [risky.id],
      poisoned: 0,
    });
    expect(await get(risky)).toMatchObject({
      status: 'paused',
      pause_reason: 'interrupted',
      pending_items: 3,
    });
    expect(await get(safe)).toMatchObject({ status: 'running', pending_items: 3 });
    expect((await events(risky)).at(-1)).toBe('batch_status paused');
    expect(await scene.store.resume(scene.act(risky))).toMatchObject({ status: 'running' });
  });

  test("follows a batch's own policy, then the server's, then its processor", async (scene) => {
    const { started, lease, get } = scene;
    const bring = async (recovery: 'resume' | 'review' | null, processor: string) => {
      const batch = await started({ processor, policies: { recovery } });
      await lease(batch);
      return batch;
    };
    const outcome = async (
      policy: 'resume' | 'review' | null,
      own: 'resume' | 'review' | null,
      processor: string,
    ) => {
      const batch = await bring(own, processor);
      await crash(scene, { policy, review: ['mail.send'] });
      return (await get(batch)).pause_reason ?? 'goes on';
    };
    expect(await outcome(null, 'review', 'photos.develop')).toBe('interrupted');
    expect(await outcome(null, 'resume', 'mail.send')).toBe('goes on');
    expect(await outcome('resume', 'review', 'photos.develop')).toBe('interrupted');
    expect(await outcome('review', 'resume', 'photos.develop')).toBe('goes on');
    expect(await outcome('review', null, 'photos.develop')).toBe('interrupted');
    expect(await outcome('resume', null, 'mail.send')).toBe('goes on');
  });

  test('never turns a pause of a user into an interruption', async (scene) => {
    const { store, started, act, lease, get } = scene;
    const batch = await started();
    await lease(batch);
    await store.pause({ ...act(batch, 'ann'), reason: 'user', mode: 'drain' });
    expect(await crash(scene, { policy: 'review' })).toMatchObject({ leases: 1, interrupted: [] });
    expect(await get(batch)).toMatchObject({
      pause_reason: 'user',
      paused_by: 'ann',
      pending_items: 3,
      running_items: 0,
    });
  });

  test('ends rather than reviews a batch that the crash finished', async (scene) => {
    const { started, get } = scene;
    const batch = await started({ items: 1, policies: { max_attempts: 1 } });
    await loseHosts(scene, batch, 2);
    await scene.lease(batch);
    expect(await crash(scene, { policy: 'review' })).toMatchObject({ poisoned: 1, interrupted: [] });
    expect(await get(batch)).toMatchObject({ status: 'failed', pause_reason: null });
  });

  test('leaves leftovers of a cancel alone', async (scene) => {
    const { store, started, act, lease, get } = scene;
    const batch = await started();
    await lease(batch);
    await store.cancel(act(batch));
    const before = await get(batch);
    await crash(scene, { policy: 'review' });
    expect(await get(batch)).toEqual(before);
    await store.sweep(scene.clock.now());
    expect(await get(batch)).toEqual(before);
  });

  test('pauses every active batch for a full disk and resumes those', async ({
    store,
    started,
    draft,
    act,
    lease,
    get,
    clock,
  }) => {
    const [queued, running, mine, waiting] = [
      await started(),
      await started(),
      await started(),
      await draft(),
    ];
    await lease(running);
    await store.pause({ ...act(mine), reason: 'user', mode: 'drain' });
    const options = { reason: 'disk_full', now: clock.now() } as const;
    expect((await store.pauseAll(options)).sort()).toEqual([queued.id, running.id].sort());
    expect(await store.pauseAll(options)).toEqual([]);
    expect(await get(queued)).toMatchObject({ status: 'paused', pause_reason: 'disk_full' });
    expect((await store.resumeAll(options)).sort()).toEqual([queued.id, running.id].sort());
    expect([(await get(queued)).status, (await get(running)).status]).toEqual(['queued', 'running']);
    expect([(await get(mine)).pause_reason, (await get(waiting)).status]).toEqual(['user', 'draft']);
  });

  test('clears what a cancel left behind', async ({ store, started, act, lease, clock, get }) => {
    const batch = await started({ items: 2_500, concurrency: 10 });
    await lease(batch, { limit: 1_000 });
    await store.cancel(act(batch));
    for (let step = 0; step < 5; step++) await store.sweep(clock.now());
    expect(await get(batch)).toMatchObject({ status: 'cancelled', cancelled_items: 2_500 });
    expect(await store.retry(act(batch))).toMatchObject({ retried: 2_500 });
  });

  test('hides final batches that ended before a time', async ({ store, started, work, clock, get }) => {
    const [old, fresh, other, busy] = [
      await started({ items: 1 }),
      await started({ items: 1 }),
      await started({ items: 1, space: 'other' }),
      await started({ items: 1 }),
    ];
    for (const batch of [old, other]) await work(batch);
    const before = clock.advance(1_000);
    await work(fresh);
    expect(await store.expire({ space: 'default', before, now: clock.now() })).toBe(1);
    expect(await store.expire({ space: 'default', before, now: clock.now() })).toBe(0);
    expect(
      (await store.list({ space: 'default', limit: 10, offset: 0 })).data.map(({ id }) => id).sort(),
    ).toEqual([fresh.id, busy.id].sort());
    expect(await get(other)).toMatchObject({ status: 'completed' });
    expect(await store.expire({ space: null, before, now: clock.now() })).toBe(1);
    expect((await store.list({ space: 'other', limit: 10, offset: 0 })).total).toBe(0);
  });

  test('removes the rows of hidden batches in slices', async ({ store, draft, act, clock, get }) => {
    const [gone, kept] = [await draft({ items: 250 }), await draft({ items: 2 })];
    await store.delete(act(gone));
    let removed = 0;
    for (let slice = 0; slice < 100; slice++) {
      const answer = await store.prune({ now: clock.now(), limit: 100 });
      if (answer.removed === 0) break;
      expect(answer.removed).toBeLessThanOrEqual(100);
      removed += answer.removed;
    }
    expect(removed).toBeGreaterThanOrEqual(250);
    expect(await get(kept)).toEqual(kept);
  });
}
