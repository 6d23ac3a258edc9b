import type { SheafEvent } from '@sheaf/protocol';
import { describe, expect, it } from 'vitest';
import { until } from '../src/testing/until.ts';
import { createLedger, takes, waits } from './engine/ledger.ts';
import { numbered, shareWorld } from './engine/world.ts';

const shown = createLedger({
  name: 'shown',
  run: async (_, { progress }, gate) => {
    progress('half', 50);
    progress('done', 250);
    await gate.pass();
  },
});
const steady = createLedger({ name: 'steady', run: takes(4) });
const gated = createLedger({ name: 'gated', run: waits });
const paused = createLedger({ name: 'paused', run: waits });
const picky = createLedger({
  name: 'picky',
  run({ seq }) {
    if (seq % 2 === 0) throw new Error('even');
    return { seq };
  },
});
const world = shareWorld({
  processors: [shown, steady, gated, paused, picky].map((ledger) => ledger.processor),
});

/** Keeps the news of a space until the test is over. */
function listen(space = 'default'): { events: SheafEvent[]; stop: () => void } {
  const events: SheafEvent[] = [];
  return { events, stop: world.engine.subscribe({ space }, (event) => events.push(event)) };
}

describe('waiting', () => {
  it('answers a batch that is final already', async () => {
    const batch = await world.make({ items: [] });
    expect((await world.engine.wait({ batch_id: batch.id, timeout_ms: 0 })).status).toBe('completed');
  });

  it('ends with wait_timeout, and the batch goes on', async () => {
    const batch = await world.make({ processor: 'gated', items: numbered(1) });
    const target = { batch_id: batch.id };
    await expect(world.engine.wait({ ...target, timeout_ms: 0 })).rejects.toMatchObject({
      code: 'wait_timeout',
    });
    await expect(world.engine.wait({ ...target, timeout_ms: 30 })).rejects.toMatchObject({
      code: 'wait_timeout',
    });
    gated.open();
    await world.end(batch);
  });

  it('ends when its caller gives up', async () => {
    const batch = await world.make({ processor: 'paused', items: numbered(1) });
    const reason = new Error('enough');
    const leaving = new AbortController();
    const waiting = world.engine.wait({ batch_id: batch.id, signal: leaving.signal });
    leaving.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    await expect(world.engine.wait({ batch_id: batch.id, signal: leaving.signal })).rejects.toBe(reason);
    await world.engine.cancel({ batch_id: batch.id });
  });

  it('until it stands still ends at a pause, too', async () => {
    const batch = await world.make({ processor: 'paused', items: numbered(1) });
    const still = world.engine.wait({ batch_id: batch.id, until: 'still', timeout_ms: 10_000 });
    await world.engine.pause({ batch_id: batch.id });
    expect((await still).status).toBe('paused');
    const final = world.engine.wait({ batch_id: batch.id, until: 'final', timeout_ms: 10_000 });
    await world.engine.cancel({ batch_id: batch.id });
    expect((await final).status).toBe('cancelled');
  });

  it('ends when the batch is deleted', async () => {
    const batch = await world.make({});
    // It may end before the deletion does, which also removes files.
    const waiting = world.engine.wait({ batch_id: batch.id, timeout_ms: 10_000 });
    const told = expect(waiting).rejects.toMatchObject({ code: 'not_found' });
    await world.engine.delete({ batch_id: batch.id });
    await told;
  });
});

describe('progress', () => {
  it('shows what runs, with step and percent, and no more than it knows', async () => {
    const batch = await world.make({
      processor: 'shown',
      items: [{ name: 'first.png' }, { key: 'second' }, {}],
      concurrency: 3,
    });
    await until('all run', () => shown.atWork === 3);
    const progress = await world.engine.progress({ batch_id: batch.id });
    expect(progress).toMatchObject({ status: 'running', total: 3, completed: 0, percent_complete: 0 });
    expect(progress.estimated_time_remaining_ms).toBeNull();
    expect(progress.running).toEqual([
      { seq: 1, name: 'first.png', step: 'done', percent: 100 },
      { seq: 2, name: 'second', step: 'done', percent: 100 },
      { seq: 3, name: 'item-3', step: 'done', percent: 100 },
    ]);
    shown.open();
    await world.end(batch);
    const last = await world.engine.progress({ batch_id: batch.id });
    expect(last).toMatchObject({ percent_complete: 100, completed: 3, running: [], items_per_second: 0 });
  });

  it('never reads 100 percent before the end, and never falls', async () => {
    const batch = await world.make({ processor: 'steady', items: numbered(400), concurrency: 4 });
    let last = 0;
    await until('it is over', async () => {
      const { percent_complete: percent, status } = await world.engine.progress({ batch_id: batch.id });
      expect(percent).toBeGreaterThanOrEqual(last);
      if (status === 'running') expect(percent).toBeLessThan(100);
      last = percent;
      return status === 'completed';
    });
    expect(last).toBe(100);
  });
});

describe('an open batch that has done all it has', () => {
  it('tells no time left, to who asks and to who listens', async () => {
    const { events, stop } = listen();
    const batch = await world.make({ processor: 'steady', items: numbered(40), open: true });
    await until('all is done', async () => (await world.get(batch)).completed_items === 40);
    const waiting = { status: 'running', completed: 40, estimated_time_remaining_ms: null };
    expect(await world.engine.progress({ batch_id: batch.id })).toMatchObject(waiting);
    await until('the last frame has come', () =>
      events.some((event) => event.type === 'batch_progress' && event.completed === 40),
    );
    stop();
    expect(events.findLast((event) => event.type === 'batch_progress')).toMatchObject(waiting);
    await world.engine.seal({ batch_id: batch.id });
  });
});

describe('live news', () => {
  it('tell every move in order, without gaps, and end with the last state', async () => {
    const { events, stop } = listen();
    const batch = await world.make({ processor: 'steady', items: numbered(300), concurrency: 4 });
    await world.engine.pause({ batch_id: batch.id });
    await world.engine.resume({ batch_id: batch.id });
    await world.end(batch);
    const stored = await world.engine.events({ batch_id: batch.id, since: 0 });
    expect(stored.map(({ seq }) => seq)).toEqual(stored.map((_, index) => index + 1));
    const mine = () => events.filter((event) => 'batch_id' in event && event.batch_id === batch.id);
    await until('the last frame has come', () =>
      mine().some((event) => event.type === 'batch_progress' && event.status === 'completed'),
    );
    stop();
    const live = mine().filter((event) => 'at' in event);
    expect(live).toEqual(stored);
    const last = mine().findLast((event) => event.type === 'batch_progress');
    expect(last).toMatchObject({ total: 300, completed: 300, failed: 0, running: 0, percent_complete: 100 });
    const jobs = mine().flatMap((event) => (event.type === 'batch_jobs_complete' ? event.jobs : []));
    expect(new Set(jobs.map((job) => job.job_id)).size).toBe(300);
    expect(jobs.every((job) => job.success)).toBe(true);
  });

  it('end with the last state of a batch that is paused, too', async () => {
    const { events, stop } = listen();
    const batch = await world.make({ processor: 'steady', items: numbered(2_000), concurrency: 4 });
    await until('some are done', async () => (await world.get(batch)).completed_items > 20);
    await world.engine.pause({ batch_id: batch.id });
    await until('it stands still', async () => (await world.get(batch)).running_items === 0);
    const { completed_items } = await world.get(batch);
    await until('the last frame tells so', () =>
      events.some(
        (event) =>
          event.type === 'batch_progress' && event.status === 'paused' && event.completed === completed_items,
      ),
    );
    stop();
    await world.engine.cancel({ batch_id: batch.id });
  });

  it('go on after a number, for who was away', async () => {
    const batch = await world.end(await world.make({ items: numbered(1) }));
    const all = await world.engine.events({ batch_id: batch.id, since: 0 });
    expect(await world.engine.events({ batch_id: batch.id, since: 2 })).toEqual(all.slice(2));
    expect(await world.engine.events({ batch_id: batch.id, since: batch.event_seq })).toEqual([]);
    expect(await world.engine.events({ batch_id: batch.id, since: 0, limit: 1 })).toEqual(all.slice(0, 1));
  });

  it('of another space are not heard here', async () => {
    const here = listen();
    const there = listen('elsewhere');
    const { batch } = await world.engine.create(
      { processor: 'probe', items: numbered(1) },
      { space: 'elsewhere' },
    );
    await until('it is told there', () => there.events.some((event) => event.type === 'batch_status'));
    expect(here.events).toEqual([]);
    here.stop();
    there.stop();
    await world.engine.wait({ batch_id: batch.id, space: 'elsewhere', timeout_ms: 10_000 });
  });
});

describe('lists', () => {
  it('of items can be filtered by status, cause and name, page by page', async () => {
    const items = Array.from({ length: 20 }, (_, index) => ({ name: `picture_${index + 1}%.png` }));
    const batch = await world.end(await world.make({ processor: 'picky', items, max_attempts: 1 }));
    const list = (query: object) =>
      world.engine.items({ batch_id: batch.id, after: 0, limit: 100, ...query });
    const seqs = async (query: object) => (await list(query)).data.map(({ seq }) => seq);
    expect(await seqs({ status: ['failed'] })).toEqual([2, 4, 6, 8, 10, 12, 14, 16, 18, 20]);
    expect(await seqs({ status: ['completed'], after: 15 })).toEqual([17, 19]);
    expect(await seqs({ status: ['pending', 'running'] })).toEqual([]);
    expect(await seqs({ cause: 'error: even', limit: 2 })).toEqual([2, 4]);
    expect(await seqs({ search: '_2%' })).toEqual([2]);
    expect(await seqs({ search: '%.' })).toHaveLength(20);
    const page = await list({ limit: 7 });
    expect(page.next).toBe(7);
    expect((await list({ limit: 7, after: 14 })).next).toBeNull();
  });

  it('of batches tell the total beside the page', async () => {
    for (let index = 0; index < 3; index++)
      await world.make({ name: `set ${index}`, labels: { kind: 'listed' } });
    const label = { name: 'kind', value: 'listed' };
    const { data, total } = await world.engine.list({
      label,
      limit: 2,
      offset: 0,
      sort_by: 'name',
      sort_order: 'ASC',
    });
    expect([total, ...data.map(({ name }) => name)]).toEqual([3, 'set 0', 'set 1']);
  });

  it('find a batch by the beginning or end of its id, or by its name', async () => {
    const batch = await world.make({ name: 'quite unique' });
    for (const text of [batch.id, batch.id.slice(0, 28), batch.id.slice(-6), 'quite unique']) {
      expect((await world.engine.find({ text })).map(({ id }) => id)).toContain(batch.id);
    }
    expect(await world.engine.find({ text: 'quite' })).toEqual([]);
    expect(await world.engine.find({ text: '' })).toEqual([]);
    expect(await world.engine.find({ text: '%' })).toEqual([]);
  });

  it('show the state of a batch in a few hundred bytes, whatever its size', async () => {
    const batch = await world.make({ items: numbered(20_000), start: false });
    const state = JSON.stringify(await world.engine.state({ batch_id: batch.id }));
    expect(state.length).toBeLessThan(2_000);
    expect(JSON.parse(state)).toMatchObject({ ranges: [{ from: 1, to: 20_000, attempt: 1, state: 'free' }] });
  });
});
