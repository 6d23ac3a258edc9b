import { expect } from 'vitest';
import { makeItem, makeOutcome } from '../../factories.ts';
import type { StoreTest } from './scene.ts';

const seqs = ({ items }: { items: readonly { seq: number }[] }) => items.map(({ seq }) => seq);

/** Leasing, renewing and giving back. */
export function leasingCases(test: StoreTest): void {
  test('leases items with all a turn needs to run them', async ({ started, lease, store, ref }) => {
    const batch = await started({
      items: [makeItem({ name: 'a.png', key: 'k', input: '{"n":1}' }), makeItem()],
      config: { preset: 'warm' },
      policies: { max_attempts: 5 },
    });
    const held = await lease(batch, { token: 'mine' });
    expect(held).toMatchObject({
      token: 'mine',
      width: 2,
      alone: false,
      batch: {
        id: batch.id,
        space: batch.space,
        processor: batch.processor,
        processor_version: '1.0.0',
        policies: batch.policies,
      },
    });
    const [first, second] = held.items;
    expect(first).toMatchObject({ seq: 1, name: 'a.png', key: 'k', input: '{"n":1}', file: null });
    expect(second).toMatchObject({ seq: 2, key: null, input: null, attempt: 1, last_attempt: 5 });
    expect(held.configs[first?.config_no ?? -1]).toEqual({ preset: 'warm' });
    expect(await store.item({ ...ref(batch), seq: 1 })).toMatchObject({ status: 'running', attempt: 0 });
  });

  test('leases from the front, up to the limit', async ({ started, lease, get }) => {
    const batch = await started({ items: 10, concurrency: 100 });
    expect(seqs(await lease(batch, { limit: 4, width: 4 }))).toEqual([1, 2, 3, 4]);
    expect(seqs(await lease(batch, { limit: 3, width: 1 }))).toEqual([5, 6, 7]);
    expect(await get(batch)).toMatchObject({ running_items: 5, pending_items: 5 });
    expect(seqs(await lease(batch))).toEqual([8, 9, 10]);
  });

  test('never gives one item to two leases', async ({ started, ask, refusal }) => {
    const batch = await started({ items: 50, concurrency: 100 });
    const answers = await Promise.all(Array.from({ length: 10 }, () => ask(batch, { limit: 7, width: 2 })));
    const all = answers.flatMap((answer) => ('lease' in answer ? seqs(answer.lease) : []));
    expect(all.sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, index) => index + 1));
    expect((await refusal(batch)).refused).toBe('none_ready');
  });

  test('keeps the widths of all leases within the concurrency', async ({
    started,
    lease,
    refusal,
    finish,
  }) => {
    const batch = await started({ items: 40, concurrency: 5 });
    const first = await lease(batch, { width: 3, limit: 10 });
    const second = await lease(batch, { width: 3, limit: 10 });
    expect([first.width, second.width]).toEqual([3, 2]);
    expect(await refusal(batch, { width: 3 })).toMatchObject({ refused: 'no_width' });
    await finish(first);
    expect((await lease(batch, { width: 8, limit: 10 })).width).toBe(3);
  });

  test('grants no more width than there are items', async ({ started, lease }) => {
    const batch = await started({ items: 6, concurrency: 5 });
    expect((await lease(batch, { width: 4, limit: 2 })).width).toBe(2);
    expect((await lease(batch, { width: 4, limit: 4 })).width).toBe(3);
  });

  test('grants nothing after a lowered concurrency until it fits', async ({
    store,
    started,
    act,
    lease,
    refusal,
    finish,
  }) => {
    const batch = await started({ items: 20, concurrency: 6 });
    const [a, b] = [await lease(batch, { width: 3, limit: 3 }), await lease(batch, { width: 3, limit: 3 })];
    await store.update({ ...act(batch), fields: { concurrency: 2 } });
    expect((await refusal(batch)).refused).toBe('no_width');
    expect((await finish(a)).batch).toMatchObject({ concurrency: 2 });
    expect((await refusal(batch)).refused).toBe('no_width');
    await finish(b);
    expect((await lease(batch, { limit: 5 })).width).toBe(2);
  });

  test('grants more at once when the concurrency is raised', async ({
    store,
    started,
    act,
    lease,
    refusal,
  }) => {
    const batch = await started({ items: 20, concurrency: 2 });
    await lease(batch, { limit: 5 });
    expect((await refusal(batch)).refused).toBe('no_width');
    await store.update({ ...act(batch), fields: { concurrency: 5 } });
    expect((await lease(batch)).width).toBe(3);
  });

  test('says when the next retry falls due', async ({ started, lease, record, refusal, clock }) => {
    const batch = await started({ items: 2 });
    const held = await lease(batch);
    const due = clock.now() + 5_000;
    await record(
      held,
      held.items.map((item) => makeOutcome(item, { status: 'retry', ready_at: due + item.seq })),
    );
    expect(await refusal(batch)).toMatchObject({ refused: 'none_ready', next_ready_at: due + 1 });
    clock.advance(5_001);
    expect((await lease(batch)).items).toMatchObject([{ seq: 1, attempt: 2, last_attempt: 3 }]);
    expect(await refusal(batch)).toMatchObject({ refused: 'none_ready', next_ready_at: due + 2 });
  });

  test('a lease whose answer was lost is given back by name', async ({
    store,
    started,
    ask,
    lease,
    clock,
  }) => {
    const batch = await started({ items: 3 });
    await ask(batch, { token: 'lost-answer' });
    await store.release(['lost-answer', 'never-leased'], clock.now());
    expect((await lease(batch)).items).toMatchObject([
      { seq: 1, attempt: 1, last_attempt: 3 },
      { seq: 2, attempt: 1, last_attempt: 3 },
      { seq: 3, attempt: 1, last_attempt: 3 },
    ]);
  });

  test('gives back only what has no outcome yet', async ({
    store,
    started,
    lease,
    record,
    clock,
    statuses,
    get,
  }) => {
    const batch = await started({ items: 7, concurrency: 20, policies: { max_attempts: 2 } });
    const held = await lease(batch);
    const done = held.items.filter(({ seq }) => [2, 3, 5].includes(seq));
    const later = clock.now() + 60_000;
    await record(
      held,
      done.map((item) => makeOutcome(item, item.seq === 3 ? { status: 'retry', ready_at: later } : {})),
    );
    await store.release([held.token], clock.now());
    expect(await get(batch)).toMatchObject({ running_items: 0, pending_items: 5, completed_items: 2 });
    expect(Object.values(await statuses(batch)).filter((status) => status === 'pending')).toHaveLength(5);
    expect(seqs(await lease(batch))).toEqual([1, 4, 6, 7]);
    clock.advance(60_000);
    expect((await lease(batch)).items).toMatchObject([{ seq: 3, attempt: 2 }]);
  });

  test('frees the width of a lease that was given back', async ({
    store,
    started,
    lease,
    refusal,
    clock,
  }) => {
    const batch = await started({ items: 9, concurrency: 2 });
    const held = await lease(batch, { limit: 4 });
    expect((await refusal(batch)).refused).toBe('no_width');
    await store.release([held.token], clock.now());
    await store.release([held.token], clock.now());
    expect((await lease(batch, { limit: 4 })).width).toBe(2);
  });

  test('gives back leases of several batches at once', async ({ store, started, lease, clock, get }) => {
    const [a, b] = [await started(), await started()];
    const tokens = [(await lease(a)).token, (await lease(b)).token];
    await store.release(tokens, clock.now());
    for (const batch of [a, b])
      expect(await get(batch)).toMatchObject({ pending_items: 3, running_items: 0 });
  });

  test('takes away a lease that nobody renews for 6 s, unburned', async ({
    store,
    started,
    lease,
    finish,
    clock,
  }) => {
    const batch = await started({ items: 3 });
    const lost = await lease(batch);
    expect(await store.sweep(clock.advance(5_999))).toEqual({ expired: 0 });
    expect(await store.sweep(clock.advance(2))).toEqual({ expired: 1 });
    const again = await lease(batch);
    expect(again.items).toMatchObject([1, 2, 3].map((seq) => ({ seq, attempt: 1, last_attempt: 3 })));
    expect(again.alone).toBe(false);
    expect(await finish(lost)).toMatchObject({ lost: true, accepted: 0, refused: 3 });
    expect(await finish(again)).toMatchObject({ lost: false, accepted: 3, batch: { status: 'completed' } });
  });

  test('keeps a renewed lease alive', async ({ store, started, lease, clock }) => {
    const batch = await started({ items: 3, concurrency: 2 });
    const held = await lease(batch);
    for (let beat = 0; beat < 5; beat++) {
      clock.advance(4_000);
      expect(await store.renew([held.token, 'unknown'], clock.now())).toEqual([
        { token: held.token, held: true, status: 'running', concurrency: 2, width: 2 },
        expect.objectContaining({ token: 'unknown', held: false }),
      ]);
      expect(await store.sweep(clock.now())).toEqual({ expired: 0 });
    }
  });

  test('tells each renewal the concurrency of now', async ({ store, started, act, lease, clock }) => {
    const batch = await started({ items: 3 });
    const held = await lease(batch);
    await store.update({ ...act(batch), fields: { concurrency: 1 } });
    expect(await store.renew([held.token], clock.now())).toMatchObject([{ held: true, concurrency: 1 }]);
  });

  test('leases retried items before the rest, then by seq', async ({ store, started, act, lease, work }) => {
    const batch = await started({ items: 4, open: true });
    await work(batch, [2, 4]);
    await store.append(act(batch), [makeItem(), makeItem()]);
    await store.retry(act(batch));
    expect(seqs(await lease(batch, { limit: 1 }))).toEqual([2]);
    expect(seqs(await lease(batch, { limit: 1 }))).toEqual([4]);
    expect(seqs(await lease(batch))).toEqual([5, 6]);
  });

  test('lists what is ready and when the next retry falls due', async ({
    store,
    started,
    draft,
    act,
    lease,
    record,
    clock,
  }) => {
    const now = clock.now();
    const plain = await started({ priority: 3, concurrency: 2 });
    await draft();
    const paused = await started();
    await store.pause({ ...act(paused), reason: 'user', mode: 'drain' });
    const waiting = await started({ items: 1 });
    const held = await lease(waiting);
    await record(
      held,
      held.items.map((item) => makeOutcome(item, { status: 'retry', ready_at: now + 9_000 })),
    );
    expect(await store.ready({ now, limit: 10 })).toEqual({
      batches: [{ batch_id: plain.id, priority: 3, concurrency: 2, pool: 'default' }],
      next_ready_at: now + 9_000,
    });
    const later = await store.ready({ now: now + 9_000, limit: 10 });
    expect(later.batches.map(({ batch_id }) => batch_id).sort()).toEqual([plain.id, waiting.id].sort());
    expect((await store.ready({ now: now + 9_000, limit: 1 })).batches).toHaveLength(1);
  });

  test('has nothing ready when all is leased or done', async ({ store, started, lease, finish, clock }) => {
    const batch = await started();
    const held = await lease(batch);
    expect(await store.ready({ now: clock.now(), limit: 10 })).toEqual({ batches: [], next_ready_at: null });
    await finish(held);
    expect(await store.ready({ now: clock.now(), limit: 10 })).toEqual({ batches: [], next_ready_at: null });
  });
}
