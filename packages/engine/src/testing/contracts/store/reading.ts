import type { StoredEvent } from '@sheaf/protocol';
import { expect } from 'vitest';
import { makeBatch, makeItem, makeItems, makeOutcome } from '../../factories.ts';
import { refused, type StoreTest } from './scene.ts';

/** Reading batches, items, causes, logs, events and state. */
export function readingCases(test: StoreTest): void {
  test('lists the newest first, page by page', async ({ store, draft, clock }) => {
    const ids: string[] = [];
    for (let index = 0; index < 5; index++) {
      ids.unshift((await draft({ name: `batch ${index}` })).id);
      clock.advance(1_000);
    }
    const page = async (offset: number) => store.list({ space: 'default', limit: 2, offset });
    const pages = [await page(0), await page(2), await page(4), await page(6)];
    expect(pages.map(({ total }) => total)).toEqual([5, 5, 5, 5]);
    expect(pages.flatMap(({ data }) => data.map(({ id }) => id))).toEqual(ids);
  });

  test('lists by each filter, and by all at once', async ({ store, draft, started, clock }) => {
    const fields = {
      name: 'Kölner_Dom 100%',
      customer_prefix: 'PL_DXB',
      labels: { album: 'summer' },
      session_id: 7,
      processor: 'pages.edit',
    };
    const wanted = await started(fields);
    await draft();
    await draft({ labels: { album: 'winter', summer: 'album' }, session_id: 8, customer_prefix: 'PL' });
    clock.advance(2 * 86_400_000);
    await draft({ name: 'Kölner_Dom 1000' });
    const filters = {
      status: ['queued', 'running'],
      customer_prefix: 'PL_DXB',
      date_from: '2026-11-05',
      date_to: '2026-11-05',
      processor: 'pages.edit',
      label: { name: 'album', value: 'summer' },
      session_id: 7,
      search: 'dom 100%',
    } as const;
    const find = async (filter: Partial<typeof filters>) =>
      (await store.list({ space: 'default', limit: 50, offset: 0, ...filter })).data.map(({ id }) => id);
    for (const { date_from, date_to, ...one } of [
      { status: filters.status },
      { customer_prefix: filters.customer_prefix },
      { processor: filters.processor },
      { label: filters.label },
      { session_id: filters.session_id },
      { search: filters.search },
      filters,
    ] as Partial<typeof filters>[]) {
      expect(await find({ ...one, ...(date_from && { date_from }), ...(date_to && { date_to }) })).toEqual([
        wanted.id,
      ]);
    }
    expect(await find({ date_from: '2026-11-05', date_to: '2026-11-05' })).toHaveLength(3);
    expect(await find({ date_from: '2026-11-06' as typeof filters.date_from })).toHaveLength(1);
    expect(await find({ search: '_______' as typeof filters.search })).toEqual([]);
  });

  test('sorts by every field, both ways', async ({ store, draft, started, clock }) => {
    const a = await draft({ name: 'a', items: 3, priority: 1 });
    clock.advance(1_000);
    const b = await started({ name: 'b', items: 1, priority: 9 });
    const order = async (
      sortBy: 'created_at' | 'updated_at' | 'name' | 'status' | 'total_items' | 'priority' | 'batch_date',
    ) => {
      const read = async (sortOrder: 'ASC' | 'DESC') =>
        (
          await store.list({ space: 'default', limit: 9, offset: 0, sort_by: sortBy, sort_order: sortOrder })
        ).data
          .map(({ name }) => name)
          .join('');
      return `${await read('ASC')} ${await read('DESC')}`;
    };
    expect([a.status, b.status]).toEqual(['draft', 'queued']);
    for (const field of ['created_at', 'updated_at', 'name', 'status', 'priority'] as const) {
      expect([field, await order(field)]).toEqual([field, 'ab ba']);
    }
    expect(await order('total_items')).toBe('ba ab');
  });

  test('finds by the beginning or end of an id, or by the exact name', async ({ store, draft }) => {
    const batch = await draft({ name: 'beach' });
    await draft({ name: 'beach party' });
    const find = async (text: string) => (await store.find({ space: 'default', text })).map(({ id }) => id);
    expect(await find(batch.id)).toEqual([batch.id]);
    expect(await find(batch.id.slice(0, 24))).toContain(batch.id);
    expect(await find(batch.id.slice(-8))).toEqual([batch.id]);
    expect(await find('beach')).toEqual([batch.id]);
    expect(await find('bea')).toEqual([]);
    expect(await find('%')).toEqual([]);
    for (let index = 0; index < 12; index++) await draft({ name: 'many' });
    expect(await find('many')).toHaveLength(10);
  });

  test('reads items page by page, by status, cause and text', async ({
    store,
    started,
    lease,
    record,
    ref,
  }) => {
    const batch = await started({ items: 7 });
    const held = await lease(batch, { limit: 5, width: 5 });
    const outcome = (seq: number, cause: string | null) =>
      held.items
        .filter((item) => item.seq === seq)
        .map((item) => makeOutcome(item, cause === null ? {} : { status: 'failed', cause }));
    await record(held, [...outcome(1, null), ...outcome(2, 'odd'), ...outcome(4, 'even')]);
    const read = async (query: object) => {
      const seqs: number[] = [];
      for (let after: number | null = 0; after !== null; ) {
        const page: { data: { seq: number }[]; next: number | null } = await store.items({
          ...ref(batch),
          limit: 2,
          ...query,
          after,
        });
        seqs.push(...page.data.map(({ seq }) => seq));
        after = page.next;
      }
      return seqs;
    };
    expect(await read({})).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(await read({ status: ['completed'] })).toEqual([1]);
    expect(await read({ status: ['failed'] })).toEqual([2, 4]);
    expect(await read({ status: ['running'] })).toHaveLength(2);
    expect(await read({ status: ['pending'] })).toEqual([6, 7]);
    expect(await read({ status: ['completed', 'failed'] })).toEqual([1, 2, 4]);
    expect(await read({ status: ['cancelled'] })).toEqual([]);
    expect(await read({ cause: 'odd' })).toEqual([2]);
    expect(await read({ search: 'picture-6' })).toEqual([6]);
  });

  test('reads the cancelled items of a cancelled batch', async ({
    store,
    started,
    act,
    lease,
    finish,
    ref,
  }) => {
    const batch = await started({ items: 3 });
    await finish(await lease(batch, { limit: 1 }));
    await store.cancel(act(batch));
    const { data } = await store.items({ ...ref(batch), after: 0, limit: 10, status: ['cancelled'] });
    expect(data.map(({ seq, status }) => [seq, status])).toEqual([
      [2, 'cancelled'],
      [3, 'cancelled'],
    ]);
    const pending = await store.items({ ...ref(batch), after: 0, limit: 10, status: ['pending', 'running'] });
    expect(pending.data).toEqual([]);
  });

  test('gives every item a name', async ({ store, draft, ref }) => {
    const batch = await draft({ items: [makeItem(), makeItem({ key: 'k' })] });
    for (const seq of [1, 2]) expect((await store.item({ ...ref(batch), seq })).name).not.toBe('');
  });

  test('says not_found for an item that does not exist', async ({ store, draft, ref }) => {
    const batch = await draft({ items: 1 });
    for (const seq of [0, 2, 99]) await refused(store.item({ ...ref(batch), seq }), 'not_found');
  });

  test('groups failures by cause', async ({ store, started, lease, record, ref, clock }) => {
    const batch = await started({ items: 6 });
    const held = await lease(batch);
    const first = clock.now();
    for (const item of held.items) {
      const cause = item.seq <= 4 ? 'broken: The picture <name> is broken.' : 'odd: Odd.';
      const error = {
        kind: 'permanent',
        code: item.seq <= 4 ? 'broken' : 'odd',
        message: `Says ${item.seq}.`,
      } as const;
      await record(held, [makeOutcome(item, { status: 'failed', cause, error })]);
      clock.advance(100);
    }
    const causes = await store.causes(ref(batch));
    expect(causes).toMatchObject([
      {
        cause: 'broken: The picture <name> is broken.',
        code: 'broken',
        count: 4,
        first_at: first,
        last_at: first + 300,
      },
      { cause: 'odd: Odd.', code: 'odd', count: 2, first_at: first + 400, last_at: first + 500 },
    ]);
    expect(causes[0]?.message).toMatch(/^Says [1-4]\.$/);
    expect(causes[0]?.samples).toContain('picture-1.png');
  });

  test('reads logs page by page, of a batch or an item', async ({ store, started, lease, record, ref }) => {
    const batch = await started({ items: 5 });
    const held = await lease(batch);
    for (const item of held.items)
      await record(held, [makeOutcome(item, { log: item.seq === 3 ? null : `says ${item.seq}` })]);
    const read = async (seq?: number) => {
      const texts: string[] = [];
      for (let after: number | null = 0; after !== null; ) {
        const page: Awaited<ReturnType<typeof store.logs>> = await store.logs({
          ...ref(batch),
          after,
          limit: 2,
          ...(seq && { seq }),
        });
        texts.push(...page.data.map(({ text }) => text));
        after = page.next;
      }
      return texts;
    };
    expect(await read()).toEqual(['says 1', 'says 2', 'says 4', 'says 5']);
    expect(await read(4)).toEqual(['says 4']);
    expect(await read(3)).toEqual([]);
  });

  test('numbers the events of a batch without gaps', async ({
    store,
    started,
    act,
    work,
    ref,
    get,
    events,
  }) => {
    const batch = await started({ items: 2, open: true });
    const other = await started({ items: 1 });
    await store.append(act(batch, 'ann'), makeItems(1));
    await store.removeItem({ ...act(batch, 'ann'), seq: 3 });
    await store.pause({ ...act(batch, 'ann'), reason: 'user', mode: 'drain' });
    await store.resume(act(batch, 'ann'));
    await work(batch, [1]);
    await work(other);
    await store.update({ ...act(batch, 'ann'), fields: { name: 'new', priority: 9 } });
    await store.retry(act(batch, 'ann'));
    const stored = await store.events({ ...ref(batch), since: 0, limit: 100 });
    expect(stored.map(({ seq }) => seq)).toEqual(stored.map((_, index) => index + 1));
    expect((await get(batch)).event_seq).toBe(stored.length);
    expect(await events(batch)).toEqual([
      'batch_created',
      'batch_status queued',
      'items_added',
      'item_removed',
      'batch_status paused',
      'batch_status queued',
      'batch_status running',
      'batch_changed',
      'items_retried',
    ]);
    expect(stored[0]).toMatchObject({ batch_id: batch.id, name: batch.name, total_items: 2 });
    expect(stored[2]).toMatchObject({ count: 1, total_items: 3 });
    expect(stored[3]).toMatchObject({ item_seq: 3, by: 'ann' });
    expect(stored[4]).toMatchObject({ status: 'paused', pause_reason: 'user', by: 'ann' });
    expect([...((stored[7] as { fields?: string[] }).fields ?? [])].sort()).toEqual(['name', 'priority']);
    expect(stored[8]).toMatchObject({ count: 1, by: 'ann' });
    const later = await store.events({ ...ref(batch), since: 4, limit: 2 });
    expect(later.map(({ seq }) => seq)).toEqual([5, 6]);
  });

  test('tells listeners the events of each commit', async ({ store, clock, ref }) => {
    const told: [string, StoredEvent][] = [];
    store.onEvents((space, events) =>
      told.push(...events.map((event): [string, StoredEvent] => [space, event])),
    );
    const { batch } = await store.create(makeBatch({ space: 'other' }), makeItems(1), { now: clock.now() });
    await store.start({ ...ref(batch), now: clock.now(), by: 'ann' });
    await refused(
      store.start({ space: 'default', batch_id: batch.id, now: clock.now(), by: 'ann' }),
      'not_found',
    );
    const stored = await store.events({ ...ref(batch), since: 0, limit: 10 });
    expect(told).toEqual(stored.map((event) => ['other', event]));
    await store.delete({
      ...ref((await store.create(makeBatch(), [], { now: clock.now() })).batch),
      now: clock.now(),
      by: 'ann',
    });
    expect(told.at(-1)?.[1]).toMatchObject({ type: 'batch_deleted', by: 'ann' });
  });

  test('shows the state of any batch in about a kilobyte', async ({ store, started, lease, finish, ref }) => {
    const batch = await started({ items: 5_000, concurrency: 1_000 });
    await finish(await lease(batch, { limit: 700 }));
    const state = JSON.stringify(await store.state(ref(batch)));
    expect(state.length).toBeLessThan(4_096);
    expect(JSON.parse(state)).toMatchObject({ total_items: 5_000, completed_items: 700, status: 'running' });
  });

  test('says what it is', async ({ store }) => {
    const about = await store.about();
    expect(Object.keys(about).length).toBeGreaterThan(1);
    for (const value of Object.values(about)) expect(['string', 'number']).toContain(typeof value);
  });
}
