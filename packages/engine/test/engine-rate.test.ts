import { describe, expect, it } from 'vitest';
import { until } from '../src/testing/until.ts';
import { createLedger } from './engine/ledger.ts';
import { numbered, openWorld } from './engine/world.ts';

const HOUR = 3_600_000;

describe('a rate limit', () => {
  it('spaces the starts of a batch, which goes on by itself', async () => {
    const starts: number[] = [];
    const { processor } = createLedger({ run: () => starts.push(Date.now()) });
    const world = await openWorld({ processors: [processor] });
    const limit = { items: 3, per_ms: 300 };
    const batch = await world.make({ processor: 'ledger', items: numbered(10), rate_limit: limit });
    const ended = await world.end(batch);
    expect(ended).toMatchObject({ status: 'completed', completed_items: 10 });
    const begin = ended.started_at ?? Number.NaN;
    // However late anything was: none has started before the stretch in which it was allowed.
    const stretches = starts.map((at) => Math.floor((at - begin) / limit.per_ms));
    expect(stretches.every((stretch, index) => stretch >= Math.floor(index / limit.items))).toBe(true);
  });

  it('is kept over a restart, tells what the batch waits for, and is raised and lifted live', async () => {
    const world = await openWorld();
    const batch = await world.make({ items: numbered(9), rate_limit: { items: 2, per_ms: HOUR } });
    const completed = (count: number) =>
      until(`${count} are completed`, async () => (await world.get(batch)).completed_items === count);
    await completed(2);
    expect((await world.get(batch)).waiting_for).toMatch(/^At its rate limit of 2 in 1 h; goes on in /);
    await world.reopen();
    const target = { batch_id: batch.id };
    await world.engine.update({ ...target, fields: { rate_limit: { items: 3, per_ms: HOUR } } });
    await completed(3);
    expect(await world.get(batch)).toMatchObject({ status: 'running', pending_items: 6, running_items: 0 });
    await world.engine.update({ ...target, fields: { rate_limit: null } });
    expect((await world.end(batch)).completed_items).toBe(9);
  });

  it('leaves the slots that it does not use to other batches', async () => {
    const world = await openWorld();
    const held = await world.make({
      items: numbered(9),
      rate_limit: { items: 1, per_ms: HOUR },
      priority: 9,
    });
    const other = await world.make({ items: numbered(50), priority: 1 });
    expect((await world.end(other)).completed_items).toBe(50);
    await until('one of them ran', async () => (await world.get(held)).completed_items === 1);
    await world.engine.cancel({ batch_id: held.id });
  });
});
