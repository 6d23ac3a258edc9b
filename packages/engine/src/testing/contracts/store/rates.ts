import type { RateLimit } from '@sheaf/protocol';
import { expect } from 'vitest';
import { makeBatch, makeItems, makeOutcome } from '../../factories.ts';
import type { StoreTest } from './scene.ts';

const TWO_A_SECOND = { rate_limit: { items: 2, per_ms: 1_000 } };

/** The rate limit: it holds for all leases of a batch together, whoever has them. */
export function rateCases(test: StoreTest): void {
  test('leases no more in a stretch of time than may start in it', async ({
    started,
    lease,
    refusal,
    clock,
  }) => {
    const batch = await started({ items: 9, policies: TWO_A_SECOND });
    expect((await lease(batch)).items.map(({ seq }) => seq)).toEqual([1, 2]);
    const due = clock.now() + 1_000;
    expect(await refusal(batch)).toMatchObject({ refused: 'rate_limited', next_ready_at: due });
    clock.advance(999);
    expect((await refusal(batch)).refused).toBe('rate_limited');
    clock.advance(1);
    expect((await lease(batch)).items.map(({ seq }) => seq)).toEqual([3, 4]);
  });

  test('shares the limit among the leases of all workers', async ({ started, lease, refusal }) => {
    const batch = await started({ items: 9, policies: TWO_A_SECOND });
    const one = { width: 1, limit: 1 };
    expect((await lease(batch, { ...one, worker: 'a', boot: 'a' })).items).toHaveLength(1);
    expect((await lease(batch, { ...one, worker: 'b', boot: 'b' })).items).toHaveLength(1);
    expect((await refusal(batch, { ...one, worker: 'c', boot: 'c' })).refused).toBe('rate_limited');
  });

  test('leases nothing ahead of the slots, since what is leased counts as started', async ({
    started,
    lease,
    record,
  }) => {
    const batch = await started({ items: 50, policies: { rate_limit: { items: 40, per_ms: 1_000 } } });
    const held = await lease(batch, { width: 3, limit: 30 });
    expect(held.items).toHaveLength(3);
    const ended = held.items.slice(0, 1).map((item) => makeOutcome(item));
    expect((await record(held, ended, { more: 20, width: 3 })).items).toHaveLength(1);
  });

  test('gives a record no more than may start, and says when there is more', async ({
    started,
    lease,
    record,
    clock,
  }) => {
    const batch = await started({ items: 9, policies: { rate_limit: { items: 3, per_ms: 1_000 } } });
    const held = await lease(batch, { width: 2 });
    const due = clock.now() + 1_000;
    clock.advance(100);
    const [first, second] = held.items.map((item) => makeOutcome(item));
    if (first === undefined || second === undefined) throw new Error('The lease holds two items.');
    const answer = await record(held, [first], { more: 5, width: 2 });
    expect(answer).toMatchObject({ items: [{ seq: 3 }], next_ready_at: null });
    expect(await record(held, [second], { more: 5, width: 2 })).toMatchObject({
      items: [],
      next_ready_at: due,
    });
  });

  test('says of a record that brought nothing when the next retry falls due', async ({
    started,
    lease,
    record,
    clock,
  }) => {
    const batch = await started({ items: 2 });
    const held = await lease(batch);
    const due = clock.now() + 700;
    const [first] = held.items.map((item) => makeOutcome(item, { status: 'retry', ready_at: due }));
    if (first === undefined) throw new Error('The lease holds two items.');
    expect(await record(held, [first], { more: 5 })).toMatchObject({ items: [], next_ready_at: due });
  });

  test('counts every attempt', async ({ started, lease, record, refusal, clock }) => {
    const batch = await started({ items: 2, policies: TWO_A_SECOND });
    const held = await lease(batch);
    await record(
      held,
      held.items.map((item) => makeOutcome(item, { status: 'retry', ready_at: clock.now() })),
    );
    expect((await refusal(batch)).refused).toBe('rate_limited');
    clock.advance(1_000);
    expect((await lease(batch)).items.map(({ attempt }) => attempt)).toEqual([2, 2]);
  });

  test('counts what was given back, since nobody knows whether it had begun', async ({
    store,
    started,
    lease,
    refusal,
    clock,
  }) => {
    const batch = await started({ items: 5, policies: TWO_A_SECOND });
    await store.release([(await lease(batch)).token], clock.now());
    expect((await refusal(batch)).refused).toBe('rate_limited');
  });

  test('is not offered while nothing may start, and woken when it may', async ({
    store,
    started,
    lease,
    ref,
    clock,
  }) => {
    const batch = await started({ items: 5, policies: TWO_A_SECOND });
    await lease(batch);
    const due = clock.now() + 1_000;
    const looked = { batch_id: ref(batch).batch_id, now: clock.now() };
    expect(await store.isReady(looked)).toBe(false);
    expect(await store.ready({ now: clock.now(), limit: 10 })).toEqual({ batches: [], next_ready_at: due });
    expect(await store.isReady({ ...looked, now: due })).toBe(true);
    expect((await store.ready({ now: due, limit: 10 })).batches).toHaveLength(1);
  });

  test('is not held up for as long as the clock was wrong', async ({ store, started, lease, ref, clock }) => {
    const batch = await started({ items: 5, policies: TWO_A_SECOND });
    await lease(batch);
    const before = clock.now() - 3_600_000;
    expect(await store.isReady({ batch_id: ref(batch).batch_id, now: before })).toBe(true);
    expect(await store.ready({ now: before, limit: 10 })).toMatchObject({
      batches: [{ batch_id: batch.id }],
      next_ready_at: null,
    });
    expect((await lease(batch, { now: before })).items).toHaveLength(2);
  });

  test('holds where two workers have read the clock in another order than they lease', async ({
    started,
    lease,
    refusal,
    clock,
  }) => {
    const policies = { rate_limit: { items: 4, per_ms: 3_200 } };
    const batch = await started({ items: 20, concurrency: 20, policies });
    const start = clock.now();
    expect((await lease(batch, { limit: 3, now: start + 90 })).items).toHaveLength(3);
    expect((await lease(batch, { limit: 1, now: start + 10 })).items).toHaveLength(1);
    expect((await refusal(batch, { now: start + 3_210 })).refused).toBe('rate_limited');
    expect((await lease(batch, { now: start + 3_290 })).items).toHaveLength(4);
  });

  test('holds after a pause, and for items that are added and retried', async ({
    store,
    started,
    act,
    lease,
    refusal,
    finish,
    clock,
  }) => {
    const batch = await started({ items: 2, policies: TWO_A_SECOND });
    await finish(await lease(batch), [1]);
    await store.append(act(batch), makeItems(2));
    await store.retry(act(batch));
    expect((await refusal(batch)).refused).toBe('rate_limited');
    await store.pause({ ...act(batch), reason: 'user', mode: 'now' });
    await store.resume(act(batch));
    expect((await refusal(batch)).refused).toBe('rate_limited');
    clock.advance(1_000);
    expect((await lease(batch)).items.map(({ seq }) => seq)).toEqual([1]);
    expect((await lease(batch)).items.map(({ seq }) => seq)).toEqual([3]);
    expect((await refusal(batch)).refused).toBe('rate_limited');
  });

  test('is changed while the batch runs, and what has started counts', async ({
    store,
    started,
    act,
    lease,
    refusal,
    get,
    clock,
  }) => {
    const batch = await started({ items: 20, concurrency: 50, policies: TWO_A_SECOND });
    await lease(batch);
    const set = (limit: RateLimit | null) => store.update({ ...act(batch), fields: { rate_limit: limit } });
    expect(await set({ items: 5, per_ms: 1_000 })).toMatchObject({
      policies: { rate_limit: { items: 5, per_ms: 1_000 } },
      next_start_at: null,
    });
    expect((await lease(batch)).items).toHaveLength(3);
    expect(await get(batch)).toMatchObject({ next_start_at: clock.now() + 1_000 });
    await set(null);
    expect((await lease(batch)).items).toHaveLength(15);
    await store.append(act(batch), makeItems(3));
    await set({ items: 1, per_ms: 500 });
    expect((await lease(batch)).items).toHaveLength(1);
    expect((await refusal(batch)).refused).toBe('rate_limited');
  });

  test('tells of a changed limit as of any other change', async ({ store, started, act }) => {
    const batch = await started({ items: 2 });
    await store.update({ ...act(batch), fields: { rate_limit: { items: 1, per_ms: 1_000 } } });
    const last = (await store.events({ ...act(batch), since: 0, limit: 100 })).at(-1);
    expect(last).toMatchObject({ type: 'batch_changed', fields: ['rate_limit'], by: 'tester' });
  });

  test('goes over to a batch that others merge into', async ({
    store,
    draft,
    act,
    lease,
    refusal,
    clock,
  }) => {
    const [first, second] = [
      await draft({ policies: TWO_A_SECOND }),
      await draft({ policies: TWO_A_SECOND }),
    ];
    const merged = await store.merge({
      space: first.space,
      batch_ids: [first.id, second.id],
      id: makeBatch().id,
      name: null,
      now: clock.now(),
      by: 'tester',
    });
    await store.start(act(merged));
    expect((await lease(merged)).items).toHaveLength(2);
    expect((await refusal(merged)).refused).toBe('rate_limited');
  });
}
