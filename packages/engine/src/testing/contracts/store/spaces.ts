import { expect } from 'vitest';
import { makeBatch, makeFile, makeItem, makeItems } from '../../factories.ts';
import { refused, type StoreTest } from './scene.ts';

/** Spaces never see each other; files and records. */
export function spaceCases(test: StoreTest): void {
  test("answers not_found for everything of another space's batch", async ({
    store,
    started,
    get,
    clock,
  }) => {
    const batch = await started({ open: true });
    const before = await get(batch);
    const ref = { space: 'other', batch_id: batch.id };
    const act = { ...ref, now: clock.now(), by: 'mallory' };
    const calls: Record<string, () => Promise<unknown>> = {
      append: () => store.append(act, makeItems(1)),
      removeItem: () => store.removeItem({ ...act, seq: 1 }),
      seal: () => store.seal(act),
      start: () => store.start(act),
      approve: () => store.approve(act),
      reject: () => store.reject(act),
      pause: () => store.pause({ ...act, reason: 'user', mode: 'now' }),
      resume: () => store.resume(act),
      cancel: () => store.cancel(act),
      update: () => store.update({ ...act, fields: { name: 'mine' } }),
      retry: () => store.retry(act),
      merge: () =>
        store.merge({
          space: 'other',
          batch_ids: [batch.id],
          id: makeBatch().id,
          name: null,
          now: act.now,
          by: act.by,
        }),
      delete: () => store.delete(act),
      get: () => store.get(ref),
      items: () => store.items({ ...ref, after: 0, limit: 10 }),
      item: () => store.item({ ...ref, seq: 1 }),
      logs: () => store.logs({ ...ref, after: 0, limit: 10 }),
      causes: () => store.causes(ref),
      events: () => store.events({ ...ref, since: 0, limit: 10 }),
      state: () => store.state(ref),
    };
    for (const [name, call] of Object.entries(calls)) {
      await refused(call(), 'not_found').catch((error: unknown) => {
        throw new Error(`${name}: ${String(error)}`, { cause: error });
      });
    }
    expect(await get(batch)).toEqual(before);
    expect(await store.list({ space: 'other', limit: 10, offset: 0 })).toEqual({ data: [], total: 0 });
    expect(await store.find({ space: 'other', text: batch.id })).toEqual([]);
    expect(await store.find({ space: 'other', text: batch.name })).toEqual([]);
    expect(await store.expire({ space: 'other', before: clock.now() + 1, now: clock.now() })).toBe(0);
  });

  test('takes no file of another space', async ({ store, draft, act, get }) => {
    const file = makeFile('secret');
    await store.addFile(file);
    const items = [makeItem({ file_id: file.id })];
    await refused(draft({ space: 'other', items }), 'invalid');
    const batch = await draft({ space: 'other' });
    await refused(store.append(act(batch), items), 'invalid');
    expect(await get(batch)).toEqual(batch);
  });

  test('keeps files of spaces apart', async ({ store }) => {
    const file = makeFile('secret');
    await store.addFile(file);
    expect(await store.file({ space: 'default', file_id: file.id })).toEqual(file);
    await refused(store.file({ space: 'other', file_id: file.id }), 'not_found');
    await refused(store.file({ space: 'default', file_id: makeFile('x').id }), 'not_found');
  });

  test("keeps a pack's records in order, by space, pack and kind", async ({ store, clock }) => {
    const where = { pack: 'photos', space: 'default', kind: 'photo' };
    const records = ['a', 'b', 'c'].map((key) => ({ key, data: JSON.stringify({ key }) }));
    const ids = await store.addRecords({ ...where, records, now: clock.now() });
    expect(new Set(ids).size).toBe(3);
    expect(ids.every((id) => Number.isSafeInteger(id) && id > 0)).toBe(true);
    const read = (query: object = {}) => store.records({ ...where, after: 0, limit: 10, ...query });
    expect(await read()).toEqual(
      records.map((record, index) => ({ ...record, id: ids[index], created_at: clock.now() })),
    );
    expect((await read({ limit: 2 })).map(({ id }) => id)).toEqual(ids.slice(0, 2));
    expect((await read({ after: ids[1] })).map(({ id }) => id)).toEqual(ids.slice(2));
    expect((await read({ ids: [ids[2] ?? 0, 999] })).map(({ key }) => key)).toEqual(['c']);
    for (const other of [{ space: 'other' }, { pack: 'renders' }, { kind: 'preset' }]) {
      expect(await read(other)).toEqual([]);
      expect(await store.countRecords({ ...where, ...other })).toBe(0);
      const id = ids[0] ?? 0;
      expect(await store.updateRecord({ ...where, ...other, id, data: '{}' })).toBe(false);
      expect(await store.removeRecords({ ...where, ...other, ids })).toBe(0);
    }
    expect(await store.countRecords(where)).toBe(3);
  });

  test("changes and removes a pack's records", async ({ store, clock }) => {
    const where = { pack: 'photos', space: 'default', kind: 'photo' };
    const [first = 0, second = 0] = await store.addRecords({
      ...where,
      records: [
        { key: null, data: '1' },
        { key: null, data: '2' },
      ],
      now: clock.now(),
    });
    expect(await store.updateRecord({ ...where, id: first, data: '{"new":true}' })).toBe(true);
    expect(await store.updateRecord({ ...where, id: 999, data: '0' })).toBe(false);
    expect(await store.removeRecords({ ...where, ids: [second, 999] })).toBe(1);
    expect(await store.records({ ...where, after: 0, limit: 10 })).toMatchObject([
      { id: first, data: '{"new":true}' },
    ]);
    const [third = 0] = await store.addRecords({
      ...where,
      records: [{ key: null, data: '3' }],
      now: clock.now(),
    });
    expect(third).toBeGreaterThan(first);
  });
}
