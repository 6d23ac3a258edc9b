import { Readable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import type { CreateBatch, NewItem } from '@sheaf/protocol';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { until } from '../src/testing/until.ts';
import { createLedger, waits } from './engine/ledger.ts';
import { countsOf, numbered, shareWorld } from './engine/world.ts';

const strict = createLedger({ name: 'strict', input: z.strictObject({ n: z.int().min(1) }) });
const gated = createLedger({ name: 'gated', run: waits });
const opened = createLedger({ name: 'opened', run: waits });
const world = shareWorld({
  processors: [strict, gated, opened].map((ledger) => ledger.processor),
  packs: [
    {
      name: 'pack',
      description: '',
      processors: [],
      templates: [
        { id: 'slow-probe', description: '', processor: 'probe', config: { wait_ms: 3, fail_rate: 0 } },
      ],
      samples: [],
      routes: [],
    },
  ],
});

/** How many batches there are, to see that nothing was written. */
const count = async () => (await world.engine.list({ limit: 1, offset: 0 })).total;

async function* stream(items: Iterable<NewItem>): AsyncGenerator<NewItem> {
  for (const item of items) yield item;
}

describe('making a batch', () => {
  it('tells all wrong items together, by pointer, and writes nothing', async () => {
    const before = await count();
    const items = numbered(10).map((item, index) => (index % 4 === 2 ? { input: { n: -1 } } : item));
    await expect(world.make({ processor: 'strict', items })).rejects.toMatchObject({
      code: 'invalid',
      details: { errors: [{ pointer: '/items/2/input/n' }, { pointer: '/items/6/input/n' }], error_count: 2 },
    });
    expect(await count()).toBe(before);
  });

  it('names a hundred wrong items and counts the others', async () => {
    const items = Array.from({ length: 5_000 }, () => ({ input: { n: 'x' } }));
    const refusal = await world.make({ processor: 'strict', items }).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ details: { error_count: 5_000 } });
    expect((refusal as { details: { errors: unknown[] } }).details.errors).toHaveLength(100);
  });

  it('guesses what an unknown processor, template or field may have meant', async () => {
    await expect(world.make({ processor: 'strct' })).rejects.toMatchObject({
      code: 'unknown_processor',
      details: { near: ['strict'] },
    });
    await expect(world.engine.create({ template_id: 'slow-prob' })).rejects.toMatchObject({
      code: 'unknown_template',
      details: { near: ['slow-probe'] },
    });
    await expect(world.engine.create({})).rejects.toMatchObject({ code: 'invalid' });
    await expect(world.make({ colour: 1 } as CreateBatch)).rejects.toMatchObject({
      details: { errors: [{ pointer: '/colour', code: 'unknown_field' }] },
    });
  });

  it.each([
    ['items that are no list', { items: 'abc' }],
    ['an item that is null', { items: [null] }],
    ['an item that is a text', { items: ['abc'] }],
    ['a config that is a list', { config: [] }],
    ['a config nested without end', { config: deeply(100_000) }],
    ['an input nested without end', { items: [{ input: deeply(100_000) }] }],
    ['nothing at all', null],
  ])('refuses %s in plain words', async (_, batch) => {
    const before = await count();
    const body = batch === null ? null : { processor: 'probe', ...batch };
    await expect(world.engine.create(body as CreateBatch)).rejects.toMatchObject({
      code: expect.stringMatching(/^(invalid|too_deep)$/),
    });
    expect(await count()).toBe(before);
  });

  it('takes config from its template, and what the caller says over it', async () => {
    const batch = await world.make({ template_id: 'slow-probe', config: { fail_rate: 0.5 } });
    expect(batch).toMatchObject({ template_id: 'slow-probe', config: { wait_ms: 3, fail_rate: 0.5 } });
    await expect(world.make({ config: { wait_ms: -1 } })).rejects.toMatchObject({
      details: { errors: [{ pointer: '/config/wait_ms' }] },
    });
  });

  it('names batches of one customer and day by a counter that is never given twice', async () => {
    const items = [{ name: 'PL_DXB_image.png' }];
    const batches = await Promise.all(Array.from({ length: 20 }, () => world.make({ items })));
    const names = batches.map((batch) => batch.base_directory_name);
    expect(new Set(names).size).toBe(20);
    for (const name of names) expect(name).toMatch(/^PL_DXB_\d{4}-\d\d-\d\d_batch-\d+$/);
    expect(batches[0]?.name).toBe(names[0]);
    for (const batch of batches) await world.end(batch);
  });

  it('with one idempotency key twice answers the batch made first', async () => {
    const body = { processor: 'probe', items: numbered(2) };
    const create = (batch: CreateBatch) => world.engine.create(batch, { idempotency_key: 'key-1' });
    const answers = await Promise.all(Array.from({ length: 10 }, () => create(body)));
    expect(new Set(answers.map(({ batch }) => batch.id)).size).toBe(1);
    expect(answers.filter(({ created }) => created)).toHaveLength(1);
    await expect(create({ ...body, name: 'other' })).rejects.toMatchObject({ code: 'key_reused' });
    const elsewhere = await world.engine.create(body, { idempotency_key: 'key-1', space: 'elsewhere' });
    expect(elsewhere.created).toBe(true);
    for (const { batch } of answers) await world.end(batch);
    await world.engine.wait({ batch_id: elsewhere.batch.id, space: 'elsewhere', timeout_ms: 10_000 });
  });

  it('in another space is not there in this one', async () => {
    const { batch } = await world.engine.create(
      { processor: 'probe', items: numbered(1) },
      { space: 'elsewhere' },
    );
    for (const call of [
      () => world.engine.get({ batch_id: batch.id }),
      () => world.engine.cancel({ batch_id: batch.id }),
      () => world.engine.append({ batch_id: batch.id }, numbered(1)),
      () => world.engine.items({ batch_id: batch.id, after: 0, limit: 1 }),
      () => world.engine.wait({ batch_id: batch.id, timeout_ms: 100 }),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'not_found' });
    }
    await world.engine.wait({ batch_id: batch.id, space: 'elsewhere', timeout_ms: 10_000 });
  });
});

describe('adding items', () => {
  it('works while the batch runs', async () => {
    const batch = await world.make({ processor: 'gated', items: numbered(2), concurrency: 2 });
    await until('both run', () => gated.atWork === 2);
    const answer = await world.engine.append({ batch_id: batch.id }, numbered(3));
    expect(answer).toMatchObject({ accepted: 3, first_seq: 3, batch: { status: 'running', total_items: 5 } });
    gated.open();
    expect(countsOf(await world.end(batch))).toEqual({ status: 'completed', completed_items: 5 });
  });

  it('sends a batch that had ended back to work', async () => {
    const batch = await world.end(await world.make({ items: numbered(2) }));
    const { batch: grown } = await world.engine.append({ batch_id: batch.id }, numbered(2));
    expect(grown.status).toBe('queued');
    expect(countsOf(await world.end(batch))).toEqual({ status: 'completed', completed_items: 4 });
    const cancelled = await world.make({});
    await world.engine.cancel({ batch_id: cancelled.id });
    await expect(world.engine.append({ batch_id: cancelled.id }, numbered(1))).rejects.toMatchObject({
      code: 'wrong_status',
    });
  });

  it('keeps an open batch from ending, until it is sealed', async () => {
    const batch = await world.make({ processor: 'opened', items: numbered(2), open: true });
    opened.open();
    await until('both are done', async () => (await world.get(batch)).completed_items === 2);
    expect(await world.get(batch)).toMatchObject({ status: 'running', open: true });
    await world.engine.append({ batch_id: batch.id }, numbered(3));
    await until('these as well', async () => (await world.get(batch)).completed_items === 5);
    const sealed = await world.engine.seal({ batch_id: batch.id });
    expect(sealed).toMatchObject({ status: 'completed', open: false });
    expect((await world.engine.seal({ batch_id: batch.id })).status).toBe('completed');
  });

  it('from a stream keeps what came before a refused one, and says how many', async () => {
    const batch = await world.make({ processor: 'strict' });
    const items = numbered(10_000);
    items[7_000] = { input: { n: 'not a number' } };
    await expect(world.engine.append({ batch_id: batch.id }, stream(items))).rejects.toMatchObject({
      code: 'invalid',
      details: { accepted: 7_000, errors: [{ pointer: '/items/7000/input/n' }] },
    });
    expect((await world.get(batch)).total_items).toBe(7_000);
    await world.engine.append({ batch_id: batch.id }, stream(numbered(10_000).slice(7_000)));
    await world.engine.start({ batch_id: batch.id });
    expect(countsOf(await world.end(batch, 30_000))).toEqual({
      status: 'completed',
      completed_items: 10_000,
    });
    expect(strict.starts).toHaveLength(10_000);
  });

  it('keeps what came before an item whose file does not exist, too', async () => {
    const batch = await world.make({});
    const items: NewItem[] = numbered(5_600);
    items[5_500] = { file_id: 'fil_00000000000000000000000000' };
    await expect(world.engine.append({ batch_id: batch.id }, items)).rejects.toMatchObject({
      code: 'invalid',
      details: { accepted: 5_500, errors: [{ pointer: '/items/5500/file_id' }] },
    });
    expect((await world.get(batch)).total_items).toBe(5_500);
  });

  it('tells the first refusal, and keeps nothing behind it, though later items were read already', async () => {
    const batch = await world.make({ processor: 'strict' });
    const items: NewItem[] = numbered(6_000);
    items[100] = { input: { n: 1 }, file_id: 'fil_00000000000000000000000000' };
    items[5_500] = { input: { n: 'not a number' } };
    await expect(world.engine.append({ batch_id: batch.id }, stream(items))).rejects.toMatchObject({
      code: 'invalid',
      details: { accepted: 100, errors: [{ pointer: '/items/100/file_id' }] },
    });
    expect((await world.get(batch)).total_items).toBe(100);
  });

  it('tells a slow caller of a refusal with his next items, not when he has sent another chunk', async () => {
    const batch = await world.make({});
    let sent = 0;
    async function* slowly() {
      const items: NewItem[] = numbered(5_000);
      items[100] = { file_id: 'fil_00000000000000000000000000' };
      yield* items;
      for (; sent < 200; sent++) {
        await wait(10);
        yield { input: {} };
      }
    }
    await expect(world.engine.append({ batch_id: batch.id }, slowly())).rejects.toMatchObject({
      details: { accepted: 100, errors: [{ pointer: '/items/100/file_id' }] },
    });
    expect(sent).toBeLessThan(200);
  });

  it('keeps what came before the stream broke', async () => {
    const batch = await world.make({});
    async function* broken() {
      yield* numbered(6_000);
      throw new Error('the caller went away');
    }
    await expect(world.engine.append({ batch_id: batch.id }, broken())).rejects.toThrow('went away');
    expect((await world.get(batch)).total_items).toBe(6_000);
  });

  it.each([[null], ['text'], [5], [[]]])('refuses %j as an item in plain words', async (odd) => {
    const batch = await world.make({});
    await expect(world.engine.append({ batch_id: batch.id }, [odd] as never)).rejects.toMatchObject({
      code: 'invalid',
      details: { accepted: 0 },
    });
  });

  it('of nothing changes nothing', async () => {
    const batch = await world.end(await world.make({ items: numbered(1) }));
    const answer = await world.engine.append({ batch_id: batch.id }, []);
    expect(answer).toMatchObject({ accepted: 0, first_seq: null, batch: { status: 'completed' } });
  });

  it('with bytes stores them, and the item has them as its file', async () => {
    const batch = await world.make({});
    const content = Readable.from(['hello ', 'world']);
    await world.engine.append({ batch_id: batch.id }, [{ name: 'greeting.txt', content }]);
    const { data } = await world.engine.items({ batch_id: batch.id, after: 0, limit: 1 });
    expect(data[0]).toMatchObject({ name: 'greeting.txt', file: { bytes: 11, media_type: 'text/plain' } });
    const { stream: bytes } = await world.engine.openFile({ file_id: data[0]?.file?.id ?? '' });
    expect(Buffer.concat(await bytes.toArray()).toString()).toBe('hello world');
  });
});

describe('removing an item', () => {
  it('works while it waits, and for nothing else', async () => {
    const batch = await world.make({ items: numbered(3), start: false });
    const remove = (seq: number) => world.engine.removeItem({ batch_id: batch.id, seq });
    expect(await remove(2)).toMatchObject({ total_items: 2 });
    await expect(remove(2)).rejects.toMatchObject({ code: 'not_found' });
    await world.engine.start({ batch_id: batch.id });
    await world.end(batch);
    await expect(remove(1)).rejects.toMatchObject({ code: 'wrong_status' });
    const { data } = await world.engine.items({ batch_id: batch.id, after: 0, limit: 5 });
    expect(data.map(({ seq }) => seq)).toEqual([1, 3]);
  });

  it('ends a batch that has no other left', async () => {
    const batch = await world.make({ items: numbered(1), requires_approval: true });
    await world.engine.removeItem({ batch_id: batch.id, seq: 1 });
    await world.engine.approve({ batch_id: batch.id });
    expect(countsOf(await world.get(batch))).toEqual({ status: 'completed' });
  });
});

function deeply(levels: number): unknown {
  let value: unknown = 1;
  for (let level = 0; level < levels; level++) value = { a: value };
  return value;
}
