import { expect } from 'vitest';
import type { Lease, LeasedItem } from '../../../ports/leasing.ts';
import { makeOutcome } from '../../factories.ts';
import type { StoreTest } from './scene.ts';

const seqs = (items: readonly { seq: number }[]) => items.map(({ seq }) => seq);

function itemAt(lease: Lease, seq: number): LeasedItem {
  const item = lease.items.find((candidate) => candidate.seq === seq);
  if (item === undefined) throw new Error(`Item ${seq} is not in the lease.`);
  return item;
}

/** How a turn keeps its slots full, and gives back those it has no item for. */
export function slotCases(test: StoreTest): void {
  test('leases more under the same token', async ({ started, lease, record, get }) => {
    const batch = await started({ items: 9, concurrency: 2 });
    const held = await lease(batch, { limit: 3 });
    const answer = await record(held, [makeOutcome(itemAt(held, 1))], { more: 4 });
    expect(seqs(answer.items)).toEqual([4, 5, 6, 7]);
    expect(answer.items[0]).toMatchObject({ attempt: 1, last_attempt: 3, input: '{"n":4}' });
    expect(answer.configs).toHaveProperty(String(answer.items[0]?.config_no));
    expect(answer.width).toBeLessThanOrEqual(2);
    const rest = [...held.items.slice(1), ...answer.items].map((item) => makeOutcome(item));
    expect(await record(held, rest, { more: 100 })).toMatchObject({
      accepted: 6,
      items: [{ seq: 8 }, { seq: 9 }],
    });
    expect(await get(batch)).toMatchObject({ completed_items: 7, running_items: 2 });
  });

  test('may lease an item again that it has just failed', async ({
    started,
    lease,
    record,
    clock,
    get,
    statuses,
  }) => {
    const batch = await started({ items: 3 });
    const held = await lease(batch);
    const failed = makeOutcome(itemAt(held, 2), { status: 'retry', ready_at: clock.now() });
    const answer = await record(held, [failed], { more: 5 });
    expect(answer.items).toMatchObject([{ seq: 2, attempt: 2 }]);
    expect(await statuses(batch)).toEqual({ 1: 'running', 2: 'running', 3: 'running' });
    const rest = [itemAt(held, 1), itemAt(held, 3), ...answer.items].map((item) => makeOutcome(item));
    expect(await record(held, rest)).toMatchObject({ accepted: 3 });
    expect(await get(batch)).toMatchObject({ status: 'completed', completed_items: 3 });
  });

  test('gives slots without an item back at once', async ({ started, lease, record, refusal }) => {
    const batch = await started({ items: 20, concurrency: 4 });
    const held = await lease(batch, { limit: 4 });
    expect((await refusal(batch)).refused).toBe('no_width');
    const done = [1, 2, 3].map((seq) => makeOutcome(itemAt(held, seq)));
    expect(await record(held, done)).toMatchObject({ accepted: 3, width: 1 });
    expect((await lease(batch, { limit: 10 })).width).toBe(3);
  });

  test('gives back slots that the turn does not want', async ({ started, lease, record }) => {
    const batch = await started({ items: 20, concurrency: 4 });
    const held = await lease(batch, { limit: 10 });
    expect(await record(held, [makeOutcome(itemAt(held, 1))], { width: 1 })).toMatchObject({ width: 1 });
    expect((await lease(batch, { limit: 5 })).width).toBe(3);
  });

  test('takes free slots as a turn wants them', async ({ started, lease, record }) => {
    const batch = await started({ items: 20, concurrency: 6 });
    const held = await lease(batch, { width: 1, limit: 10 });
    await lease(batch, { width: 2, limit: 2 });
    expect(await record(held, [makeOutcome(itemAt(held, 1))], { width: 3 })).toMatchObject({ width: 3 });
    expect(await record(held, [makeOutcome(itemAt(held, 2))], { width: 9 })).toMatchObject({ width: 4 });
  });

  test('frees the width with the last item of a lease', async ({ started, lease, finish, get }) => {
    const batch = await started({ items: 8, concurrency: 4 });
    expect(await finish(await lease(batch, { limit: 4 }))).toMatchObject({ width: 0 });
    expect(await get(batch)).toMatchObject({ running_items: 0 });
    expect((await lease(batch)).width).toBe(4);
  });
}
