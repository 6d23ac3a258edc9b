import { MAX_ITEMS } from '@sheaf/protocol';
import { expect } from 'vitest';
import type { NewItemRow } from '../../../ports/store.ts';
import { makeBatch, makeFile, makeItem, makeItems } from '../../factories.ts';
import { refused, type StoreTest } from './scene.ts';

/** Creating batches and filling them. */
export function intakeCases(test: StoreTest): void {
  test('creates a draft whose items are pending', async ({ store, clock, ref }) => {
    const fields = makeBatch({
      description: 'from the beach',
      config: { preset: 'warm' },
      labels: { album: 'summer' },
      metadata: { camera: { lens: 35 } },
      external_ids: { shop: '17' },
      session_id: 4,
      template_id: 'warm-photos',
      concurrency: 7,
      priority: 2,
      policies: { max_attempts: 5 },
    });
    const { batch, created } = await store.create(fields, makeItems(3), { now: clock.now() });
    // Whether it asks for approval shows in what its start does.
    const { policies, requires_approval: _, ...plain } = fields;
    expect(created).toBe(true);
    expect(batch).toMatchObject({
      ...plain,
      status: 'draft',
      pause_reason: null,
      round: 1,
      total_items: 3,
      pending_items: 3,
      running_items: 0,
      completed_items: 0,
      created_at: clock.now(),
      started_at: null,
      completed_at: null,
      event_seq: 1,
    });
    expect(batch.policies).toEqual(policies);
    expect(await store.get(ref(batch))).toEqual(batch);
    const { data } = await store.items({ ...ref(batch), after: 0, limit: 10 });
    expect(data.map(({ id, seq, name, status, input }) => ({ id, seq, name, status, input }))).toEqual(
      [1, 2, 3].map((n) => ({
        id: `${batch.id}/${n}`,
        seq: n,
        name: `picture-${n}.png`,
        status: 'pending',
        input: { n },
      })),
    );
  });

  test('creates and starts in one go, or asks for approval first', async ({ store, clock, ref }) => {
    const started = { now: clock.now(), start: true };
    const { batch } = await store.create(makeBatch(), makeItems(3), started);
    expect(batch).toMatchObject({ status: 'queued', pending_items: 3, event_seq: 2 });
    expect(await store.get(ref(batch))).toEqual(batch);
    const { batch: asking } = await store.create(makeBatch({ requires_approval: true }), [], started);
    expect(asking.status).toBe('awaiting_approval');
    // With nothing to do it is done, unless more is to come.
    expect((await store.create(makeBatch(), [], started)).batch.status).toBe('completed');
    expect((await store.create(makeBatch({ open: true }), [], started)).batch.status).toBe('queued');
    const idempotency = { route: 'batches', key: 'start', body_hash: 'a' };
    const first = await store.create(makeBatch(), makeItems(1), { ...started, idempotency });
    expect(await store.create(makeBatch(), makeItems(1), { ...started, idempotency })).toEqual({
      batch: first.batch,
      created: false,
    });
  });

  test('creates an empty draft', async ({ draft }) => {
    expect(await draft({ items: 0 })).toMatchObject({ status: 'draft', total_items: 0, pending_items: 0 });
  });

  test('creates more items than one statement takes', async ({ store, draft, ref }) => {
    const batch = await draft({ items: 25_001 });
    expect(batch).toMatchObject({ total_items: 25_001, pending_items: 25_001 });
    const { data } = await store.items({ ...ref(batch), after: 25_000, limit: 10 });
    expect(data.map(({ seq, input }) => [seq, input])).toEqual([[25_001, { n: 25_001 }]]);
  });

  test('keeps input, name and key as they came', async ({ store, draft, ref }) => {
    const input = { text: 'ファイル 🏳️‍🌈 "quoted" \\ \n', deep: [[{ empty: null }]], big: 2 ** 52 };
    const batch = await draft({
      items: [makeItem({ name: 'é.png', key: 'k-1', input: JSON.stringify(input) })],
    });
    expect(await store.item({ ...ref(batch), seq: 1 })).toMatchObject({ name: 'é.png', key: 'k-1', input });
  });

  test('names the directory after prefix, day and counter', async ({ draft }) => {
    const [a, b, c] = [
      await draft({ customer_prefix: 'PL_DXB' }),
      await draft({ customer_prefix: 'PL_DXB' }),
      await draft(),
    ];
    expect(a).toMatchObject({ base_directory_name: 'PL_DXB_2026-11-05_batch-1', batch_counter: 1 });
    expect(b).toMatchObject({ base_directory_name: 'PL_DXB_2026-11-05_batch-2', batch_date: '2026-11-05' });
    expect(c.base_directory_name).toBe('2026-11-05_batch-1');
  });

  test('starts a new count each day and in each space', async ({ draft, clock }) => {
    await draft();
    expect((await draft({ space: 'other' })).batch_counter).toBe(1);
    clock.advance(86_400_000);
    expect(await draft()).toMatchObject({ batch_counter: 1, batch_date: '2026-11-06' });
  });

  test('never gives a counter twice when batches are made at once', async ({ draft }) => {
    const batches = await Promise.all(Array.from({ length: 20 }, () => draft({ items: 1 })));
    expect(new Set(batches.map(({ base_directory_name }) => base_directory_name)).size).toBe(20);
    expect(batches.map(({ batch_counter }) => batch_counter).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 20 }, (_, index) => index + 1),
    );
  });

  test('does not give the counter of a deleted batch again', async ({ store, draft, act, clock }) => {
    const batch = await draft();
    await store.delete(act(batch));
    const later = clock.now() + 7_200_000;
    while ((await store.prune({ now: later, limit: 1_000 })).removed > 0);
    expect((await draft()).batch_counter).toBe(2);
  });

  test('answers the batch made first to the same idempotency key and body', async ({ store, clock, get }) => {
    const idempotency = { route: 'POST /batches', key: 'k', body_hash: 'h' };
    const first = await store.create(makeBatch(), makeItems(2), { now: clock.now(), idempotency });
    const second = await store.create(makeBatch(), makeItems(2), { now: clock.advance(1_000), idempotency });
    expect(first.created).toBe(true);
    expect(second).toEqual({ batch: await get(first.batch), created: false });
    expect((await store.list({ space: 'default', limit: 10, offset: 0 })).total).toBe(1);
  });

  test('makes one batch of creates with the same key at once', async ({ store, clock }) => {
    const idempotency = { route: 'POST /batches', key: 'k', body_hash: 'h' };
    const answers = await Promise.all(
      Array.from({ length: 8 }, () =>
        store.create(makeBatch(), makeItems(2), { now: clock.now(), idempotency }),
      ),
    );
    expect(answers.filter(({ created }) => created)).toHaveLength(1);
    expect(new Set(answers.map(({ batch }) => batch.id)).size).toBe(1);
  });

  test('refuses an idempotency key with another body', async ({ store, clock }) => {
    const idempotency = { route: 'POST /batches', key: 'k', body_hash: 'h' };
    await store.create(makeBatch(), [], { now: clock.now(), idempotency });
    const other = { ...idempotency, body_hash: 'other' };
    await refused(store.create(makeBatch(), [], { now: clock.now(), idempotency: other }), 'key_reused');
  });

  test('keeps idempotency keys of spaces and routes apart', async ({ store, clock }) => {
    const idempotency = { route: 'POST /batches', key: 'k', body_hash: 'h' };
    const options = { now: clock.now(), idempotency };
    await store.create(makeBatch(), [], options);
    expect((await store.create(makeBatch({ space: 'other' }), [], options)).created).toBe(true);
    const route = { ...options, idempotency: { ...idempotency, route: 'POST /imports' } };
    expect((await store.create(makeBatch(), [], route)).created).toBe(true);
  });

  test('counts the bytes of the files of its items', async ({ store, draft, ref }) => {
    const [a, b] = [makeFile('aaa'), makeFile('bbbbb')];
    await store.addFile(a);
    await store.addFile(b);
    const batch = await draft({
      items: [makeItem({ file_id: a.id, name: 'a' }), makeItem({ file_id: b.id })],
    });
    expect(batch).toMatchObject({ total_bytes: 8, done_bytes: 0 });
    const { file } = await store.item({ ...ref(batch), seq: 1 });
    expect(file).toMatchObject({
      id: a.id,
      sha256: a.sha256,
      bytes: 3,
      name: 'aaa.png',
      media_type: 'image/png',
    });
  });

  test('makes nothing when a file of an item does not exist', async ({ store, draft, act }) => {
    const error = await refused(
      draft({ items: [makeItem(), makeItem({ file_id: makeFile('x').id })] }),
      'invalid',
    );
    expect(error.details.errors).toMatchObject([{ pointer: '/items/1/file_id', code: 'not_found' }]);
    expect((await store.list({ space: 'default', limit: 10, offset: 0 })).total).toBe(0);
    const batch = await draft();
    await refused(store.append(act(batch), [makeItem({ file_id: makeFile('x').id })]), 'invalid');
    expect(await store.get({ space: 'default', batch_id: batch.id })).toEqual(batch);
  });

  test('appends behind the last item', async ({ store, draft, act, statuses, events }) => {
    const batch = await draft({ items: 2 });
    const answer = await store.append(act(batch), makeItems(2));
    expect(answer).toMatchObject({
      first_seq: 3,
      batch: { status: 'draft', total_items: 4, pending_items: 4 },
    });
    expect(await statuses(batch)).toEqual({ 1: 'pending', 2: 'pending', 3: 'pending', 4: 'pending' });
    expect(await events(batch)).toEqual(['batch_created', 'items_added']);
  });

  test('never gives a seq twice, not that of a removed item either', async ({
    store,
    draft,
    act,
    statuses,
  }) => {
    const batch = await draft({ items: 2 });
    await store.removeItem({ ...act(batch), seq: 2 });
    expect((await store.append(act(batch), makeItems(1))).first_seq).toBe(3);
    expect(Object.keys(await statuses(batch))).toEqual(['1', '3']);
  });

  test('gives appends at once different seqs', async ({ store, draft, act, get }) => {
    const batch = await draft({ items: 0 });
    const answers = await Promise.all(
      Array.from({ length: 6 }, () => store.append(act(batch), makeItems(5))),
    );
    expect(answers.map(({ first_seq }) => first_seq).sort((a, b) => a - b)).toEqual([1, 6, 11, 16, 21, 26]);
    expect((await get(batch)).total_items).toBe(30);
  });

  test('sends a final batch back to queued when items are appended', async ({
    store,
    started,
    act,
    work,
    get,
  }) => {
    const batch = await started({ items: 1 });
    await work(batch);
    expect(await get(batch)).toMatchObject({ status: 'completed' });
    const answer = await store.append(act(batch), makeItems(1));
    expect(answer.batch).toMatchObject({ status: 'queued', completed_at: null, pending_items: 1 });
    await work(batch);
    expect(await get(batch)).toMatchObject({ status: 'completed', completed_items: 2 });
  });

  test('refuses more items than a batch may have', async ({ store, draft, act, get }) => {
    const batch = await draft({ items: 1 });
    // Nothing but a length: the count is judged before the items are looked at.
    const many: NewItemRow[] = [];
    many.length = MAX_ITEMS;
    await refused(store.append(act(batch), many), 'too_many_items');
    expect(await get(batch)).toEqual(batch);
  });

  test('removes an item that waits', async ({ store, started, act, statuses, events, lease }) => {
    const batch = await started({ items: 5 });
    const left = await store.removeItem({ ...act(batch), seq: 3 });
    expect(left).toMatchObject({ status: 'queued', total_items: 4, pending_items: 4 });
    expect(Object.keys(await statuses(batch))).toEqual(['1', '2', '4', '5']);
    expect((await lease(batch)).items.map(({ seq }) => seq)).toEqual([1, 2, 4, 5]);
    expect(await events(batch)).toContain('item_removed');
  });

  test('removes the first, the last and the only item of a range', async ({ store, draft, act, get }) => {
    const batch = await draft({ items: 3 });
    for (const seq of [1, 3, 2]) await store.removeItem({ ...act(batch), seq });
    expect(await get(batch)).toMatchObject({ status: 'draft', total_items: 0 });
  });

  test('does not remove an item that runs or has an outcome', async ({
    store,
    started,
    act,
    lease,
    finish,
    ref,
  }) => {
    const batch = await started({ items: 3 });
    await finish(await lease(batch, { limit: 1 }));
    await lease(batch, { limit: 1 });
    for (const seq of [1, 2]) await refused(store.removeItem({ ...act(batch), seq }), 'wrong_status');
    await refused(store.removeItem({ ...act(batch), seq: 9 }), 'not_found');
    expect(await store.get(ref(batch))).toMatchObject({ total_items: 3 });
  });

  test('settles a batch whose last waiting item is removed', async ({
    store,
    started,
    act,
    lease,
    finish,
  }) => {
    const batch = await started({ items: 2 });
    await finish(await lease(batch, { limit: 1 }));
    expect(await store.removeItem({ ...act(batch), seq: 2 })).toMatchObject({
      status: 'completed',
      total_items: 1,
      completed_items: 1,
    });
  });

  test('completes an empty batch at its start', async ({ started, events }) => {
    const batch = await started({ items: 0 });
    expect(batch).toMatchObject({ status: 'completed', percent_complete: 100, total_items: 0 });
    expect((await events(batch)).at(-1)).toBe('batch_status completed');
  });

  test('keeps an open batch from settling until it is sealed', async ({ store, started, act, work, get }) => {
    const batch = await started({ items: 0, open: true });
    expect(batch).toMatchObject({ status: 'queued', open: true });
    await store.append(act(batch), makeItems(2));
    await work(batch);
    expect(await get(batch)).toMatchObject({ status: 'running', completed_items: 2 });
    expect(await store.seal(act(batch))).toMatchObject({ status: 'completed', open: false });
  });

  test('goes on with what is left when an open batch is sealed', async ({
    store,
    started,
    act,
    work,
    get,
  }) => {
    const batch = await started({ items: 2, open: true });
    expect(await store.seal(act(batch))).toMatchObject({ status: 'queued', open: false });
    await work(batch);
    expect(await get(batch)).toMatchObject({ status: 'completed' });
  });

  test('settles a paused batch when it is sealed', async ({ store, started, act, work }) => {
    const batch = await started({ items: 1, open: true });
    await work(batch);
    await store.pause({ ...act(batch), reason: 'user', mode: 'drain' });
    expect(await store.seal(act(batch))).toMatchObject({ status: 'completed', pause_reason: null });
  });

  test('seals an open batch after 15 minutes of silence', async ({
    store,
    started,
    act,
    clock,
    work,
    get,
  }) => {
    const batch = await started({ items: 1, open: true });
    await work(batch);
    clock.advance(14 * 60_000);
    await store.append(act(batch), makeItems(1));
    await work(batch);
    clock.advance(14 * 60_000);
    await store.sweep(clock.now());
    expect(await get(batch)).toMatchObject({ status: 'running', open: true });
    await store.sweep(clock.advance(2 * 60_000));
    expect(await get(batch)).toMatchObject({ status: 'completed', open: false });
  });
}
