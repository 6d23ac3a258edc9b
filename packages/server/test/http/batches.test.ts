import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectProblem, NOBODY, openWorld, type World } from './world.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

describe('making a batch', () => {
  it('answers 201, where it is, and the batch with times of ISO 8601', async () => {
    const { status, headers, json } = await world.call('POST', '/api/batches', {
      json: {
        name: 'First',
        processor: 'probe',
        priority: 7,
        labels: { team: 'red' },
        items: [{ name: 'a' }],
      },
    });
    expect(status).toBe(201);
    expect(headers.location).toBe(`/api/batches/${json.id}`);
    expect(headers['cache-control']).toBe('private, no-store');
    expect(json).toMatchObject({
      name: 'First',
      space: 'default',
      priority: 7,
      labels: { team: 'red' },
      total_items: 1,
      created_by: 'user',
    });
    expect(new Date(json.created_at).toISOString()).toBe(json.created_at);
    await world.done(json);
  });

  it('starts by itself with items, stays a draft without, and obeys start', async () => {
    expect((await world.batch({ items: [{}] })).status).toMatch(/^(queued|running|completed)$/);
    expect((await world.batch()).status).toBe('draft');
    expect((await world.batch({ items: [{}], start: false })).status).toBe('draft');
  });

  it('completes a batch of no items at once, with zeros and no NaN', async () => {
    const batch = await world.batch({ items: [] });
    await world.done(batch);
    const { json } = await world.call('GET', `/api/batches/${batch.id}`);
    expect(json).toMatchObject({
      status: 'completed',
      total_items: 0,
      completed_items: 0,
      percent_complete: 100,
    });
    const progress = await world.call('GET', `/api/batches/${batch.id}/progress`);
    expect(progress.json).toMatchObject({ total: 0, completed: 0, failed: 0, items: [], running: [] });
    expect(`${JSON.stringify(json)}${progress.text}`).not.toMatch(/NaN|Infinity/);
  });

  it('decodes items that come as base64 and keeps their bytes', async () => {
    const bytes = Buffer.from([0, 1, 2, 255, 254]);
    const batch = await world.batch({
      start: false,
      items: [{ name: 'a.bin', data: bytes.toString('base64') }, { input: 1 }],
    });
    const { json: item } = await world.call('GET', `/api/batches/${batch.id}/items/1`);
    expect(item.file).toMatchObject({ name: 'a.bin', bytes: 5 });
    const content = await world.app.inject(`/api/files/${item.file.id}/content`);
    expect(content.rawPayload).toEqual(bytes);
  });

  it('takes 40 MiB of base64 and refuses what is over 64 MiB', async () => {
    const big = Buffer.alloc(30_000_000, 'sheaf');
    const batch = await world.batch({ start: false, items: [{ name: 'big', data: big.toString('base64') }] });
    expect(batch).toMatchObject({ total_items: 1, total_bytes: big.length });
    const body = Buffer.alloc(67_108_865, ' ');
    expectProblem(
      await world.call('POST', '/api/batches', { body, headers: { 'content-type': 'application/json' } }),
      413,
      'too_large',
    );
  });

  it('allows the same name twice', async () => {
    const batch = await world.batch({ start: false, items: [{ name: 'same' }, { name: 'same' }] });
    const { json } = await world.call('GET', `/api/batches/${batch.id}/items`);
    expect(json.data.map((item: { seq: number; name: string }) => [item.seq, item.name])).toEqual([
      [1, 'same'],
      [2, 'same'],
    ]);
  });

  it('answers the first batch when the call is repeated with its Idempotency-Key', async () => {
    const call = { json: { processor: 'probe', items: [{}] }, headers: { 'idempotency-key': 'once-1' } };
    const [first, second] = [
      await world.call('POST', '/api/batches', call),
      await world.call('POST', '/api/batches', call),
    ];
    expect([first.status, second.status]).toEqual([201, 200]);
    expect(second.json.id).toBe(first.json.id);
  });

  it('answers the first batch also when its items came as base64', async () => {
    const json = { processor: 'probe', items: [{ name: 'x', data: 'aGk=' }] };
    const call = { json, headers: { 'idempotency-key': 'once-2' } };
    const [first, second] = [
      await world.call('POST', '/api/batches', call),
      await world.call('POST', '/api/batches', call),
    ];
    expect([first.status, second.status]).toEqual([201, 200]);
    expect(second.json).toMatchObject({ id: first.json.id, total_items: 1 });
  });

  it('refuses a key that was used with another body', async () => {
    const headers = { 'idempotency-key': 'once-3' };
    await world.call('POST', '/api/batches', { json: { processor: 'probe' }, headers });
    expectProblem(
      await world.call('POST', '/api/batches', { json: { processor: 'probe', name: 'b' }, headers }),
      422,
      'key_reused',
    );
  });

  it.each([
    ['longer than 255', 'k'.repeat(256)],
    ['not ASCII', 'schlüssel'],
    ['empty', ''],
  ])('refuses a key that is %s', async (_, key) => {
    const call = { json: { processor: 'probe' }, headers: { 'idempotency-key': key } };
    expectProblem(await world.call('POST', '/api/batches', call), 400, 'bad_idempotency_key');
  });
});

describe('reading batches', () => {
  it('answers the same under its space and under the older prefix', async () => {
    const batch = await world.batch({ name: 'everywhere' });
    for (const base of [
      '/api/batches',
      '/api/batch/jobs',
      '/api/spaces/default/batches',
      '/api/spaces/default/batch/jobs',
    ]) {
      const { status, json } = await world.call('GET', `${base}/${batch.id}`);
      expect([status, json.name]).toEqual([200, 'everywhere']);
    }
    const made = await world.call('POST', '/api/batch/jobs', { json: { processor: 'probe' } });
    expect([made.status, made.headers.location]).toEqual([201, `/api/batch/jobs/${made.json.id}`]);
  });

  it('shows the first items, as many as are asked for', async () => {
    const batch = await world.batch({
      start: false,
      items: Array.from({ length: 30 }, (_, n) => ({ input: n })),
    });
    const counts = await Promise.all(
      ['', '?items_limit=0', '?items_limit=5', '?items_limit=200'].map(async (query) => {
        const { json } = await world.call('GET', `/api/batches/${batch.id}${query}`);
        return json.items.length;
      }),
    );
    expect(counts).toEqual([20, 0, 5, 30]);
  });

  it('shows how far it is in short words', async () => {
    const batch = await world.batch({
      processor: 'strict',
      max_attempts: 1,
      items: [{ input: { n: 2 } }, { input: { n: 3 } }],
    });
    await world.done(batch);
    const { json } = await world.call('GET', `/api/batches/${batch.id}/progress`);
    expect(json).toMatchObject({
      id: batch.id,
      status: 'partially_completed',
      total: 2,
      completed: 1,
      failed: 1,
      percent_complete: 100,
    });
    expect(json.items).toEqual([
      {
        seq: 1,
        name: expect.any(String),
        status: 'completed',
        result: { n: 2, result_variant_id: 'variant-2' },
      },
      { seq: 2, name: expect.any(String), status: 'failed', result: null },
    ]);
    const { json: causes } = await world.call('GET', `/api/batches/${batch.id}/failures`);
    expect(causes.data).toMatchObject([{ code: 'odd', count: 1 }]);
    const { json: state } = await world.call('GET', `/api/batches/${batch.id}/state`);
    expect(state).toMatchObject({ id: batch.id, status: 'partially_completed' });
    const { json: events } = await world.call('GET', `/api/batches/${batch.id}/events`);
    expect(events.data.map(({ seq }: { seq: number }) => seq)).toEqual(
      events.data.map((_: unknown, at: number) => at + 1),
    );
    expect(events.data[0]).toMatchObject({ type: 'batch_created', at: expect.stringMatching(/Z$/) });
  });

  it('lists with filters, order and pages', async () => {
    const own = await openWorld();
    for (const [name, priority, team] of [
      ['alpha', 1, 'red'],
      ['beta', 9, 'red'],
      ['gamma', 5, 'blue'],
    ] as const) {
      await own.batch({
        name,
        priority,
        labels: { team },
        customer_prefix: name.toUpperCase(),
        session_id: priority,
      });
    }
    await own.batch({ name: 'delta', items: [] });
    const names = async (query: string) => {
      const { status, json } = await own.call('GET', `/api/batches?${query}`);
      return status === 200 ? json.data.map(({ name }: { name: string }) => name).join(' ') : json.code;
    };
    expect(await names('sort_by=name&sort_order=ASC')).toBe('alpha beta delta gamma');
    expect(await names('sort_by=priority&sort_order=DESC&status=draft')).toBe('beta gamma alpha');
    expect(await names('label=team%3Dred&sort_by=name&sort_order=ASC')).toBe('alpha beta');
    expect(await names('customer_prefix=GAMMA')).toBe('gamma');
    expect(await names('session_id=9&status=draft,completed')).toBe('beta');
    expect(await names('search=LPH')).toBe('alpha');
    expect(await names('search=%25')).toBe('');
    expect(await names('processor=strict')).toBe('');
    const today = new Date().toISOString().slice(0, 10);
    expect(
      await names(`date_from=${today}&date_to=${today}&sort_by=name&sort_order=ASC&limit=1&offset=1`),
    ).toBe('beta');
    expect(await names('date_to=2001-01-01')).toBe('');
    expect(await names('find=gamma')).toBe('gamma');
    const { json } = await own.call('GET', '/api/batches?limit=2');
    expect(json).toMatchObject({ total: 4, limit: 2, offset: 0 });
    await own.close();
  });
});

describe('changing and deleting', () => {
  it('changes what may be changed, by PATCH and by PUT', async () => {
    const { id } = await world.batch();
    const { json } = await world.call('PATCH', `/api/batches/${id}`, {
      json: { name: 'new', labels: { a: 'b' } },
    });
    expect(json).toMatchObject({ name: 'new', labels: { a: 'b' } });
    expect((await world.call('PUT', `/api/batches/${id}`, { json: { priority: 9 } })).json).toMatchObject({
      name: 'new',
      priority: 9,
    });
  });

  it('deletes a draft with 204, and then it is not there', async () => {
    const { id } = await world.batch();
    const { status, text } = await world.call('DELETE', `/api/batches/${id}`);
    expect([status, text]).toEqual([204, '']);
    expectProblem(await world.call('GET', `/api/batches/${id}`), 404, 'not_found');
  });

  it('refuses to delete a running batch unless forced', async () => {
    const { id } = await world.batch({ processor: 'gate', items: [{}] });
    expectProblem(await world.call('DELETE', `/api/batches/${id}`), 409, 'wrong_status');
    expect((await world.call('DELETE', `/api/batches/${id}?force=true`)).status).toBe(204);
    expectProblem(await world.call('GET', `/api/batches/${id}`), 404, 'not_found');
  });

  it('merges drafts into a new one', async () => {
    const [a, b] = [
      await world.batch({ start: false, items: [{}, {}] }),
      await world.batch({ start: false, items: [{}] }),
    ];
    const { status, json } = await world.call('POST', '/api/batches/merge', {
      json: { batch_ids: [a.id, b.id], name: 'both' },
    });
    expect(status).toBe(201);
    expect(json).toMatchObject({ name: 'both', status: 'draft', total_items: 3 });
    expectProblem(
      await world.call('POST', '/api/batches/merge', { json: { batch_ids: [a.id, NOBODY] } }),
      404,
      'not_found',
    );
    expectProblem(
      await world.call('POST', '/api/batches/merge', { json: { batch_ids: [a.id, 'x'] } }),
      404,
      'not_found',
    );
    expectProblem(
      await world.call('POST', '/api/batches/merge', { json: { batch_ids: [a.id] } }),
      422,
      'invalid',
    );
  });

  it('recovers and cleans up', async () => {
    const { json } = await world.call('POST', '/api/batches/recover');
    expect(json).toEqual({ recovered_count: 0, failed_count: 0, timestamp: expect.stringMatching(/Z$/) });
    expect((await world.call('POST', '/api/batches/cleanup', { json: {} })).json).toEqual({
      cleaned_count: 0,
      days_old: 7,
    });
    expectProblem(
      await world.call('POST', '/api/batches/cleanup', { json: { days_old: -1 } }),
      422,
      'invalid',
    );
  });
});
