import { describe, expect, it } from 'vitest';
import { until } from '../src/testing/until.ts';
import { createLedger, type Ledger, takes, waits } from './engine/ledger.ts';
import { numbered, shareWorld } from './engine/world.ts';

const steady = createLedger({ name: 'steady', run: takes(10) });
const gated = createLedger({ name: 'gated', run: waits });
const instant = createLedger({ name: 'instant' });
const other = createLedger({ name: 'other' });
const low = createLedger({ name: 'low', run: takes(20) });
const high = createLedger({ name: 'high', run: takes(20) });
const crowd = createLedger({ name: 'crowd', run: takes(4) });
const endless = createLedger({ name: 'endless', run: takes(20) });
const small = createLedger({ name: 'small', run: takes(20) });
const growing = createLedger({ name: 'growing', run: waits });
const shrinking = createLedger({ name: 'shrinking', run: waits });
const humble = createLedger({ name: 'humble', run: waits });
const urgent = createLedger({ name: 'urgent', run: waits });
const mixed = createLedger({
  name: 'mixed',
  run: (item, context, gate) => (item.seq === 1 ? gate.pass() : takes(5)(item, context)),
});

const quick = [instant, other, crowd, steady, low, high, endless, small];
const held = [gated, growing, shrinking, humble, urgent, mixed];
const world = shareWorld({
  concurrency: 6,
  processors: [...quick, ...held].map((ledger) => ledger.processor),
});

const countOf = (ledger: Ledger, batch: { id: string }) =>
  ledger.starts.filter((start) => start.batch_id === batch.id).length;

describe('the concurrency of a batch', () => {
  it('is never exceeded, and is used', async () => {
    const batch = await world.make({ processor: 'steady', items: numbered(150), concurrency: 3 });
    await world.end(batch);
    expect(steady.mostAtWork).toBe(3);
  });

  it('is never more than this process runs at the same time, over all batches', async () => {
    const batches = await Promise.all(
      [1, 2, 3].map(() => world.make({ processor: 'gated', items: numbered(20), concurrency: 20 })),
    );
    await until('all slots are in use', () => gated.atWork === 6);
    gated.open();
    for (const batch of batches) await world.end(batch);
    expect(gated.mostAtWork).toBe(6);
  });

  it('is used at once when it is raised while slow items run', async () => {
    const batch = await world.make({ processor: 'growing', items: numbered(30), concurrency: 1 });
    await until('the first item runs', () => growing.atWork === 1);
    await world.engine.update({ batch_id: batch.id, fields: { concurrency: 4 } });
    await until('four items run', () => growing.atWork === 4);
    expect(growing.ends).toHaveLength(0);
    growing.open();
    await world.end(batch);
    expect(growing.mostAtWork).toBe(4);
  });

  it('goes down as items end when it is lowered', async () => {
    const batch = await world.make({ processor: 'shrinking', items: numbered(40), concurrency: 6 });
    await until('six items run', () => shrinking.atWork === 6);
    await world.engine.update({ batch_id: batch.id, fields: { concurrency: 2 } });
    shrinking.release(4);
    await until('the four are recorded', async () => (await world.get(batch)).completed_items === 4);
    expect(shrinking.atWork).toBe(2);
    shrinking.mostAtWork = 0;
    shrinking.release(1);
    await until('another one has begun', () => shrinking.starts.length === 7);
    shrinking.open();
    await world.end(batch);
    expect(shrinking.mostAtWork).toBe(2);
  });

  it('is not held down by one slow item among fast ones', async () => {
    const batch = await world.make({ processor: 'mixed', items: numbered(60), concurrency: 3 });
    await until('all but the slow one are done', () => mixed.ends.length === 59);
    mixed.open();
    await world.end(batch);
  });
});

describe('batches side by side', () => {
  it('share the slots: a huge one does not starve a small one', async () => {
    const huge = await world.make({ processor: 'instant', items: numbered(200_000), concurrency: 100 });
    await until('the huge one runs', () => instant.starts.length > 1_000);
    const little = await world.make({ processor: 'other', items: numbered(10) });
    await world.end(little);
    expect((await world.get(huge)).status).toBe('running');
    await world.engine.cancel({ batch_id: huge.id });
  });

  it('take turns when both are huge', async () => {
    const batches = [
      await world.make({ processor: 'instant', items: numbered(300_000), concurrency: 100 }),
      await world.make({ processor: 'instant', items: numbered(300_000), concurrency: 100 }),
    ];
    const progressed = async () =>
      (await Promise.all(batches.map(world.get))).map((batch) => batch.completed_items);
    await until('both have begun', async () => (await progressed()).every((count) => count > 0));
    const [one = 0, two = 0] = await progressed();
    expect(Math.max(one, two)).toBeLessThan(300_000);
    await until('both have gone on', async () => {
      const [first = 0, second = 0] = await progressed();
      return first > one && second > two;
    });
    // One may have come to its end by now.
    await Promise.allSettled(batches.map(({ id }) => world.engine.cancel({ batch_id: id })));
  });

  it('of slow items share the slots evenly before long', async () => {
    const first = await world.make({ processor: 'endless', items: numbered(4_000), concurrency: 6 });
    await until('the first has all slots', () => endless.atWork === 6);
    const second = await world.make({ processor: 'small', items: numbered(120), concurrency: 6 });
    await world.end(second);
    // Were the second one left with a single slot, it would take as long as a thousand of the first.
    const begun = small.starts[0]?.at ?? 0;
    const meanwhile = endless.starts.filter((start) => start.at > begun).length;
    expect(meanwhile).toBeLessThan(400);
    await world.engine.cancel({ batch_id: first.id });
  });

  it('all come to an end when there are many more of them than slots', async () => {
    const batches = await Promise.all(
      Array.from({ length: 60 }, () =>
        world.make({ processor: 'crowd', items: numbered(20), concurrency: 4 }),
      ),
    );
    for (const batch of batches) expect((await world.end(batch, 20_000)).completed_items).toBe(20);
    expect(crowd.starts).toHaveLength(60 * 20);
    expect(crowd.mostAtWork).toBeLessThanOrEqual(6);
  });

  it('run in the order of their priority: a higher one overtakes', async () => {
    const first = await world.make({ processor: 'low', items: numbered(3_000), concurrency: 6, priority: 2 });
    await until('the first has all slots', () => low.atWork === 6);
    const second = await world.make({ processor: 'high', items: numbered(200), concurrency: 6, priority: 9 });
    await until('the second has all slots', () => high.atWork === 6);
    const before = countOf(low, first);
    await until('the second goes on', () => high.starts.length > 100);
    expect(countOf(low, first)).toBe(before);
    await world.end(second);
    await until('the first goes on', () => countOf(low, first) > before);
    await world.engine.cancel({ batch_id: first.id });
  });

  it('leave a slot that comes free to a higher one, which takes it only with its next record', async () => {
    const higher = await world.make({
      processor: 'urgent',
      items: numbered(6),
      concurrency: 5,
      priority: 9,
    });
    await until('the higher one has five slots', () => urgent.atWork === 5);
    const lower = await world.make({ processor: 'humble', items: numbered(3), priority: 2 });
    await until('the lower one has the sixth', () => humble.atWork === 1);
    await world.engine.update({ batch_id: higher.id, fields: { concurrency: 6 } });
    humble.release(1);
    await until('the higher one has all slots', () => urgent.atWork === 6);
    expect(humble.starts).toHaveLength(1);
    urgent.open();
    humble.open();
    await world.end(higher);
    await world.end(lower);
  });
});
