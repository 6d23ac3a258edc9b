import type { Batch } from '@sheaf/protocol';
import { describe, expect, it } from 'vitest';
import { until } from '../src/testing/until.ts';
import { createLedger, takes, waits } from './engine/ledger.ts';
import { countsOf, numbered, openWorld, shareWorld } from './engine/world.ts';

const drained = createLedger({ name: 'drained', run: waits });
const busy = createLedger({ name: 'busy', run: takes(3) });
const instant = createLedger({ name: 'instant' });
const unsafe = createLedger({ name: 'unsafe', idempotent: false, run: waits });
const stopped = createLedger({ name: 'stopped', run: waits });
const halfway = createLedger({
  name: 'halfway',
  run: ({ seq }, _, gate) => (seq % 2 === 0 ? gate.pass() : null),
});
const pressed = createLedger({ name: 'pressed', run: takes(2) });
const cancelled = createLedger({ name: 'cancelled', run: waits });
const later = createLedger({ name: 'later', run: waits });
const again = createLedger({ name: 'again', run: waits });
const removed = createLedger({ name: 'removed', run: waits });
const deleted = createLedger({ name: 'deleted', run: waits });

const all = [
  drained,
  busy,
  instant,
  unsafe,
  stopped,
  halfway,
  pressed,
  cancelled,
  later,
  again,
  removed,
  deleted,
];
const world = shareWorld({ processors: all.map((ledger) => ledger.processor) });

/** Presses a button fifty times at once; every press must be answered, none refused. */
async function press(action: () => Promise<unknown>): Promise<void> {
  const presses = await Promise.allSettled(Array.from({ length: 50 }, action));
  expect(presses.filter(({ status }) => status === 'rejected')).toEqual([]);
}

describe('a pause that drains', () => {
  it('lets running items finish, starts none, and survives until it is resumed', async () => {
    const batch = await world.make({ processor: 'drained', items: numbered(12), concurrency: 4 });
    await until('four items run', () => drained.atWork === 4);
    const answer = await world.engine.pause({ batch_id: batch.id });
    expect(answer).toMatchObject({ status: 'paused', pause_reason: 'user', paused_by: 'system' });
    drained.open();
    await until('they are recorded', async () => (await world.get(batch)).completed_items === 4);
    expect(countsOf(await world.get(batch))).toEqual({
      status: 'paused',
      completed_items: 4,
      pending_items: 8,
    });
    expect(drained.starts).toHaveLength(4);
    await world.engine.resume({ batch_id: batch.id });
    expect(countsOf(await world.end(batch))).toEqual({ status: 'completed', completed_items: 12 });
    expect(drained.starts).toHaveLength(12);
    expect(drained.starts.every(({ attempt }) => attempt === 1)).toBe(true);
  });

  it('starts nothing later than a second after it was answered, and resume redoes nothing', async () => {
    const batch = await world.make({ processor: 'busy', items: numbered(2_000), concurrency: 4 });
    for (const goal of [50, 200, 400]) {
      await until(`${goal} have begun`, () => busy.starts.length > goal);
      await world.engine.pause({ batch_id: batch.id });
      const answered = performance.now();
      await until('the batch stands still', async () => (await world.get(batch)).running_items === 0);
      const last = Math.max(...busy.starts.map(({ at }) => at));
      expect(last - answered).toBeLessThan(1_000);
      const { completed_items } = await world.get(batch);
      expect(busy.ends).toHaveLength(completed_items);
      await world.engine.resume({ batch_id: batch.id });
    }
    await world.end(batch, 30_000);
    expect(busy.starts).toHaveLength(2_000);
  });

  it('goes on with the slots of items that still run when it is resumed', async () => {
    const batch = await world.make({ processor: 'again', items: numbered(8), concurrency: 2 });
    await until('two items run', () => again.atWork === 2);
    await world.engine.pause({ batch_id: batch.id });
    await world.engine.resume({ batch_id: batch.id });
    again.release(1);
    await until('a third one has begun while the second still runs', () => again.starts.length === 3);
    again.open();
    await world.end(batch);
    expect(again.mostAtWork).toBe(2);
  });

  it('is legal before anything has begun, and leads back to where it was', async () => {
    const held = await world.make({ processor: 'later', items: numbered(4), concurrency: 4 });
    await until('all slots are taken', () => later.atWork === 4);
    const batch = await world.make({ items: numbered(2) });
    expect((await world.engine.pause({ batch_id: batch.id })).status).toBe('paused');
    expect((await world.engine.resume({ batch_id: batch.id })).status).toBe('queued');
    later.open();
    await world.end(batch);
    await world.end(held);
  });
});

describe('a pause that takes effect now', () => {
  it('gives running items back unburned: they start again as what they were', async () => {
    const batch = await world.make({
      processor: 'stopped',
      items: numbered(6),
      concurrency: 3,
      max_attempts: 1,
    });
    await until('three items run', () => stopped.atWork === 3);
    await world.engine.pause({ batch_id: batch.id, mode: 'now' });
    await until('their slots are free', () => stopped.atWork === 0);
    expect(countsOf(await world.get(batch))).toEqual({ status: 'paused', pending_items: 6 });
    stopped.open();
    await world.engine.resume({ batch_id: batch.id });
    expect(countsOf(await world.end(batch))).toEqual({ status: 'completed', completed_items: 6 });
    expect(stopped.starts.every(({ attempt }) => attempt === 1)).toBe(true);
    expect([1, 2, 3, 4, 5, 6].map(stopped.runsOf).reduce((sum, runs) => sum + runs, 0)).toBe(9);
  });

  it('keeps the results of items that had ended before', async () => {
    const batch = await world.make({ processor: 'halfway', items: numbered(4_000), concurrency: 4 });
    for (let round = 0; round < 8; round++) {
      const begun = halfway.starts.length;
      const before = halfway.ends.length;
      await until('some have ended, and some run', () => {
        // All four may stand at the gate already, put back there by the resume.
        if (halfway.ends.length === before) halfway.release(1);
        return halfway.ends.length > before && halfway.atWork > 0;
      });
      const ended = new Set(halfway.ends.map(({ seq }) => seq));
      await world.engine.pause({ batch_id: batch.id, mode: 'now' });
      const runs = new Map([...ended].map((seq) => [seq, halfway.runsOf(seq)]));
      await world.engine.resume({ batch_id: batch.id });
      halfway.release(4);
      await until('it goes on', () => halfway.starts.length > begun);
      for (const seq of ended) expect(halfway.runsOf(seq)).toBe(runs.get(seq));
    }
    halfway.open();
    await world.end(batch, 30_000);
  });

  it('keeps the results of items that ended in the same moment, however many', async () => {
    const busy = createLedger({
      name: 'crowd',
      async run({ seq, batch_id }, _, gate) {
        if (seq < 1_000) return;
        // The last one to begin: all others end in this moment, and none of them can be recorded yet.
        pausing.resolve(crowded.engine.pause({ batch_id, mode: 'now' }));
        await gate.pass();
      },
    });
    const pausing = Promise.withResolvers<Batch>();
    const crowded = await openWorld({ concurrency: 1_000, processors: [busy.processor] });
    await crowded.make({ processor: 'crowd', items: numbered(1_000), concurrency: 1_000 });
    expect(countsOf(await pausing.promise)).toEqual({
      status: 'paused',
      completed_items: 999,
      pending_items: 1,
    });
    expect(busy.starts).toHaveLength(1_000);
  });

  it('is refused for a processor that must not run twice, unless it is forced', async () => {
    const batch = await world.make({ processor: 'unsafe', items: numbered(2), concurrency: 1 });
    await until('an item runs', () => unsafe.atWork === 1);
    const now = { batch_id: batch.id, mode: 'now' as const };
    await expect(world.engine.pause(now)).rejects.toMatchObject({ code: 'not_idempotent' });
    expect((await world.get(batch)).status).toBe('running');
    expect(unsafe.atWork).toBe(1);
    await world.engine.pause({ ...now, force: true });
    await until('its slot is free', () => unsafe.atWork === 0);
    unsafe.open();
    await world.engine.resume({ batch_id: batch.id });
    await world.end(batch);
    expect([unsafe.runsOf(1), unsafe.runsOf(2)]).toEqual([2, 1]);
  });

  it('on a batch that is paused already only gives its items back', async () => {
    const batch = await world.make({ processor: 'removed', items: numbered(3), concurrency: 3 });
    await until('three items run', () => removed.atWork === 3);
    await world.engine.pause({ batch_id: batch.id, by: 'anna' });
    expect((await world.get(batch)).running_items).toBe(3);
    const answer = await world.engine.pause({ batch_id: batch.id, mode: 'now', by: 'bert' });
    expect(answer).toMatchObject({ status: 'paused', paused_by: 'anna' });
    await until('their slots are free', () => removed.atWork === 0);
    expect((await world.get(batch)).running_items).toBe(0);
    await world.engine.cancel({ batch_id: batch.id });
  });
});

describe('pressing a button many times', () => {
  it('is the same as pressing it once', async () => {
    // Open, so that it does not come to its end between two presses.
    const batch = await world.make({
      processor: 'pressed',
      items: numbered(600),
      concurrency: 4,
      open: true,
    });
    const target = { batch_id: batch.id };
    await until('some have begun', () => pressed.starts.length > 20);
    await press(() => world.engine.pause(target));
    await press(() => world.engine.resume(target));
    await press(() => world.engine.pause({ ...target, mode: 'now' }));
    await press(() => world.engine.resume(target));
    await press(() => world.engine.seal(target));
    expect(countsOf(await world.end(batch))).toEqual({ status: 'completed', completed_items: 600 });
    const events = await world.engine.events({ batch_id: batch.id, since: 0 });
    const moves = events.flatMap((event) => (event.type === 'batch_status' ? [event.status] : []));
    expect(moves).toEqual(['queued', 'running', 'paused', 'running', 'paused', 'running', 'completed']);
  });

  it('of all kinds at once leaves a batch that adds up and can be ended', async () => {
    const batch = await world.make({
      processor: 'pressed',
      items: numbered(3_000),
      concurrency: 4,
      open: true,
    });
    const target = { batch_id: batch.id };
    const { engine } = world;
    const actions: (() => Promise<unknown>)[] = [
      () => engine.pause(target),
      () => engine.pause({ ...target, mode: 'now' }),
      () => engine.resume(target),
      () => engine.update({ ...target, fields: { concurrency: 2 } }),
      () => engine.update({ ...target, fields: { priority: 7 } }),
      () => engine.append(target, numbered(3)),
      () => engine.retry(target),
      () => engine.removeItem({ ...target, seq: 2_990 }),
    ];
    const presses = Array.from({ length: 80 }, (_, index) => actions[index % actions.length]?.());
    const refused = (await Promise.allSettled(presses)).flatMap((result) =>
      result.status === 'rejected' ? [result.reason.code] : [],
    );
    // Only the second removal of an item that is gone may be refused.
    expect(new Set(refused)).toEqual(new Set(['not_found']));
    expect(await engine.checkInvariants()).toEqual([]);
    await press(() => engine.cancel(target));
    const ended = await world.end(batch);
    expect(ended.total_items).toBe(3_000 + 30 - 1);
    expect(ended.completed_items + ended.cancelled_items).toBe(ended.total_items);
    const runs = new Map<number, number>();
    for (const { seq, batch_id } of pressed.ends) {
      if (batch_id === batch.id) runs.set(seq, (runs.get(seq) ?? 0) + 1);
    }
    expect(runs.size).toBeGreaterThanOrEqual(ended.completed_items);
  });
});

describe('cancelling', () => {
  it('ends a batch at once, keeps what was recorded, and frees the slots of what runs', async () => {
    const batch = await world.make({ processor: 'cancelled', items: numbered(10), concurrency: 3 });
    await until('three items run', () => cancelled.atWork === 3);
    cancelled.release(2);
    await until('two are recorded', async () => (await world.get(batch)).completed_items === 2);
    const answer = await world.engine.cancel({ batch_id: batch.id });
    expect(countsOf(answer)).toEqual({ status: 'cancelled', completed_items: 2, cancelled_items: 8 });
    await until('their slots are free', () => cancelled.atWork === 0);
    expect(countsOf(await world.get(batch))).toEqual({
      status: 'cancelled',
      completed_items: 2,
      cancelled_items: 8,
    });
    const { data } = await world.engine.items({ batch_id: batch.id, after: 0, limit: 20 });
    expect(data.filter(({ status }) => status === 'cancelled')).toHaveLength(8);
    const next = await world.make({ items: numbered(4) });
    expect((await world.end(next)).status).toBe('completed');
  });

  it('is legal in every state that is not final, and in effect already when cancelled', async () => {
    const draft = await world.make({ name: 'draft' });
    const asked = await world.make({ items: numbered(1), requires_approval: true });
    const paused = await world.make({ processor: 'deleted', items: numbered(1) });
    await world.engine.pause({ batch_id: paused.id });
    for (const batch of [draft, asked, paused]) {
      expect((await world.engine.cancel({ batch_id: batch.id })).status).toBe('cancelled');
      expect((await world.engine.cancel({ batch_id: batch.id })).status).toBe('cancelled');
    }
    const done = await world.end(await world.make({ items: [] }));
    await expect(world.engine.cancel({ batch_id: done.id })).rejects.toMatchObject({
      code: 'wrong_status',
      details: { current_status: 'completed', allowed_actions: ['retry', 'append', 'merge', 'delete'] },
    });
  });

  it('of a huge fast batch loses nothing that was recorded', async () => {
    const batch = await world.make({ processor: 'instant', items: numbered(50_000), concurrency: 50 });
    await until('some are recorded', async () => (await world.get(batch)).completed_items > 1_000);
    const answer = await world.engine.cancel({ batch_id: batch.id });
    const later = await world.get(batch);
    expect(countsOf(later)).toEqual(countsOf(answer));
    expect(answer.completed_items + answer.cancelled_items).toBe(50_000);
    expect(instant.starts.length).toBeGreaterThanOrEqual(answer.completed_items);
  });
});

describe('deleting', () => {
  it('is refused while a batch may run, and done when it is forced', async () => {
    const batch = await world.make({ processor: 'deleted', items: numbered(3) });
    await until('an item runs', () => deleted.atWork > 0);
    await expect(world.engine.delete({ batch_id: batch.id })).rejects.toMatchObject({ code: 'wrong_status' });
    await world.engine.delete({ batch_id: batch.id, force: true });
    await expect(world.get(batch)).rejects.toMatchObject({ code: 'not_found' });
    await until('the slots are free', () => deleted.atWork === 0);
    await expect(world.engine.delete({ batch_id: batch.id })).rejects.toMatchObject({ code: 'not_found' });
  });

  it.each(['draft', 'awaiting_approval', 'paused', 'completed', 'cancelled'] as const)(
    'by force works for a batch that is %s',
    async (status) => {
      const batch = await inStatus(status);
      expect((await world.get(batch)).status).toBe(status);
      await world.engine.delete({ batch_id: batch.id, force: true });
      await expect(world.get(batch)).rejects.toMatchObject({ code: 'not_found' });
    },
  );
});

async function inStatus(status: Batch['status']): Promise<Batch> {
  if (status === 'draft') return world.make({});
  if (status === 'completed') return world.end(await world.make({ items: [] }));
  const batch = await world.make({
    processor: 'deleted',
    items: numbered(1),
    requires_approval: status === 'awaiting_approval',
  });
  if (status === 'paused') await world.engine.pause({ batch_id: batch.id });
  if (status === 'cancelled') await world.engine.cancel({ batch_id: batch.id });
  return batch;
}
