import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectProblem, NOBODY, openWorld, until, type World } from './world.ts';

let world: World;
let port: number;
let url: string;
beforeAll(async () => {
  world = await openWorld();
  ({ port, url } = await world.listen());
});
afterAll(() => world.close());

const HEAD = 'Host: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: 1000000';
const NDJSON = { 'content-type': 'application/x-ndjson' };
const append = (id: string, json: unknown) => world.call('POST', `/api/batches/${id}/items`, { json });
const appendLines = (id: string, body: string | Buffer) =>
  world.call('POST', `/api/batches/${id}/items`, { body, headers: NDJSON });

describe('appending a JSON list', () => {
  it('adds the items behind the last one', async () => {
    const { id } = await world.batch({ start: false, items: [{}] });
    const { status, json } = await append(id, [{ name: 'b' }, { name: 'c', data: 'aGVsbG8=' }]);
    expect([status, json]).toEqual([
      200,
      { accepted: 2, first_seq: 2, batch: expect.objectContaining({ id, total_items: 3 }) },
    ]);
    const { json: item } = await world.call('GET', `/api/batches/${id}/items/3`);
    expect(item).toMatchObject({ id: `${id}/3`, name: 'c', file: { name: 'c', bytes: 5 } });
  });

  it('sends a finished batch back to work', async () => {
    const batch = await world.batch({ items: [{}] });
    await world.done(batch);
    await append(batch.id, [{}, {}]);
    await world.done(batch);
    expect((await world.call('GET', `/api/batches/${batch.id}`)).json).toMatchObject({
      status: 'completed',
      completed_items: 3,
    });
  });

  it('takes nothing of a list with a wrong item, and points into it', async () => {
    const { id } = await world.batch();
    const problem = expectProblem(await append(id, [{}, { wrong: 1 }, { name: 5 }]), 422, 'invalid');
    expect(problem.errors.map(({ pointer }: { pointer: string }) => pointer)).toEqual([
      '/1/wrong',
      '/2/name',
    ]);
    expect((await world.call('GET', `/api/batches/${id}`)).json.total_items).toBe(0);
    for (const body of [{}, { items: [] }, 'a', null]) expectProblem(await append(id, body), 422, 'invalid');
  });

  it('says how many came before an input its processor does not take', async () => {
    const { id } = await world.batch({ processor: 'strict' });
    const problem = expectProblem(
      await append(id, [{ input: { n: 1 } }, { input: { n: 2 } }, { input: { m: 3 } }]),
      422,
      'invalid',
    );
    expect(problem).toMatchObject({ accepted: 2 });
    expect(problem.errors[0].pointer).toMatch(/^\/2\/input/);
  });

  it('refuses a cancelled batch, and one that is not there before it reads the body', async () => {
    const { id } = await world.batch();
    await world.call('POST', `/api/batches/${id}/cancel`);
    expectProblem(await append(id, [{}]), 409, 'wrong_status');
    expectProblem(await append(NOBODY, [{}]), 404, 'not_found');
    expectProblem(await appendLines(NOBODY, '{}\n'), 404, 'not_found');
  });
});

describe('appending NDJSON', () => {
  it('adds an item a line, with or without a last newline', async () => {
    const { id } = await world.batch();
    const { json } = await appendLines(id, '{"name":"a"}\r\n\n{"input":2}\n{"data":"aGk=","name":"hi"}');
    expect(json).toMatchObject({ accepted: 3, first_seq: 1, batch: { total_items: 3 } });
  });

  it('takes an empty body as no items', async () => {
    const { id } = await world.batch();
    expect((await appendLines(id, '\n')).json).toMatchObject({ accepted: 0, first_seq: null });
  });

  it.each([
    ['that is not JSON', '{"name":', 'bad_manifest', 422],
    ['with a key given twice', '{"name":"a","name":"b"}', 'bad_manifest', 422],
    ['that is no object', '"a.png"', 'bad_manifest', 422],
    ['with an unknown field', '{"file":"a.png"}', 'bad_manifest', 422],
    ['with a bad name', '{"name":" "}', 'bad_manifest', 422],
    ['with bad base64', '{"data":"?"}', 'bad_manifest', 422],
    ['with an input its processor does not take', '{"input":{"n":"x"}}', 'bad_manifest', 422],
    ['with bytes of its own making', '{"content":"/etc/passwd"}', 'bad_manifest', 422],
    ['that is nothing', 'null', 'bad_manifest', 422],
    ['that is too deep', `{"input":${'['.repeat(40)}${']'.repeat(40)}}`, 'bad_manifest', 422],
    ['of more than 1 MiB', `{"input":"${'x'.repeat(1_048_577)}"}`, 'too_large', 413],
  ])('stops at a line %s, names it, and keeps what came before', async (_, line, code, status) => {
    const { id } = await world.batch({ processor: 'strict' });
    const good = (n: number) => `{"input":{"n":${n}}}\n`;
    const problem = expectProblem(
      await appendLines(id, `${good(1)}${good(2)}\n${line}\n${good(3)}`),
      status,
      code,
    );
    expect(problem).toMatchObject({ line: 4, accepted: 2, detail: expect.stringMatching(/^Line 4/) });
    for (const { pointer } of problem.errors ?? []) expect(pointer).not.toMatch(/^\/(?:0|items)/);
    expect((await world.call('GET', `/api/batches/${id}`)).json.total_items).toBe(2);
  });

  it('refuses bytes that are not UTF-8, with the line', async () => {
    const { id } = await world.batch();
    const body = Buffer.concat([Buffer.from('{}\n{"name":"'), Buffer.from([0xff]), Buffer.from('"}\n')]);
    expect(expectProblem(await appendLines(id, body), 422, 'bad_manifest')).toMatchObject({
      line: 2,
      accepted: 1,
    });
  });

  it('takes a long body as it comes', async () => {
    const { id } = await world.batch();
    const block = Buffer.from(`{"input":"${'x'.repeat(1_000)}"}\n`.repeat(1_000));
    let blocks = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (blocks++ < 20) controller.enqueue(block);
        else controller.close();
      },
    });
    const init = { method: 'POST', headers: NDJSON, body, duplex: 'half' } as RequestInit;
    const response = await fetch(`${url}/api/batches/${id}/items`, init);
    expect(await response.json()).toMatchObject({ accepted: 20_000, batch: { total_items: 20_000 } });
  });

  it('keeps what was stored when the client vanishes', async () => {
    const { id } = await world.batch();
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(`POST /api/batches/${id}/items HTTP/1.1\r\n${HEAD}\r\n\r\n${'{}\n'.repeat(6_000)}`);
    await until(async () => (await world.engine.get({ batch_id: id })).total_items >= 5_000);
    socket.destroy();
    await until(async () => (await world.engine.get({ batch_id: id })).total_items === 6_000);
    expect((await world.call('GET', '/healthz')).status).toBe(200);
  });

  it('ends an upload of which nothing comes any more', async () => {
    const own = await openWorld({ upload_idle_ms: 100 });
    const { port: ownPort } = await own.listen();
    const { id } = await own.batch();
    const socket = connect(ownPort, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(`POST /api/batches/${id}/items HTTP/1.1\r\n${HEAD}\r\n\r\n{}\n`);
    await text(socket);
    await until(async () => (await own.engine.get({ batch_id: id })).total_items === 1);
    await own.close();
  });
});

describe('reading items', () => {
  it('pages through all of them, each once, with a cursor', async () => {
    const { id } = await world.batch({
      start: false,
      items: Array.from({ length: 25 }, (_, n) => ({ name: `n${n}` })),
    });
    const seen: string[] = [];
    let after: string | null = null;
    do {
      const query: string = after === null ? '' : `&after=${after}`;
      const { json } = await world.call('GET', `/api/batches/${id}/items?limit=10${query}`);
      seen.push(...json.data.map(({ name }: { name: string }) => name));
      after = json.next;
    } while (after !== null);
    expect(seen).toEqual(Array.from({ length: 25 }, (_, n) => `n${n}`));
  });

  it('refuses a cursor that was changed, or is of another batch', async () => {
    const [a, b] = await Promise.all([1, 2].map(() => world.batch({ start: false, items: [{}, {}, {}] })));
    const { json } = await world.call('GET', `/api/batches/${a.id}/items?limit=1`);
    for (const [id, cursor] of [
      [b.id, json.next],
      [a.id, `${json.next}x`],
      [a.id, '2'],
      [a.id, 'AAAA'],
    ]) {
      expectProblem(
        await world.call('GET', `/api/batches/${id}/items?after=${cursor}`),
        400,
        'invalid_cursor',
      );
    }
    expectProblem(
      await world.call('GET', `/api/batches/${a.id}/logs?after=${json.next}`),
      400,
      'invalid_cursor',
    );
  });

  it('filters by status, cause and search', async () => {
    const batch = await world.batch({
      processor: 'strict',
      max_attempts: 1,
      items: [1, 2, 3, 4].map((n) => ({ name: `item-${n}`, input: { n } })),
    });
    await world.done(batch);
    const seqs = async (query: string) => {
      const { json } = await world.call('GET', `/api/batches/${batch.id}/items?${query}`);
      return json.data.map(({ seq }: { seq: number }) => seq);
    };
    expect(await seqs('status=failed')).toEqual([1, 3]);
    expect(await seqs('status=failed,completed&search=m-2')).toEqual([2]);
    const { json } = await world.call('GET', `/api/batches/${batch.id}/failures`);
    expect(await seqs(`cause=${encodeURIComponent(json.data[0].cause)}`)).toEqual([1, 3]);
    expectProblem(await world.call('GET', `/api/batches/${batch.id}/items?status=odd`), 422, 'invalid_query');
    expectProblem(await world.call('GET', `/api/batches/${batch.id}/items?limit=201`), 422, 'invalid_query');
  });

  it('shows an item with its attempts, and times of ISO 8601', async () => {
    const batch = await world.batch({
      processor: 'probe',
      config: { fail_rate: 1 },
      max_attempts: 2,
      backoff: { base_ms: 0, max_ms: 0 },
      items: [{}],
    });
    await world.done(batch);
    const { json } = await world.call('GET', `/api/batches/${batch.id}/items/1`);
    expect(json).toMatchObject({
      status: 'failed',
      error: { code: 'probe_failed' },
      finished_at: expect.stringMatching(/Z$/),
    });
    const { json: attempts } = await world.call('GET', `/api/batches/${batch.id}/items/1/attempts`);
    expect(attempts.data).toEqual(json.attempts);
    expect(attempts.data[0]).toMatchObject({ attempt: 1, started_at: expect.stringMatching(/Z$/) });
  });

  it('shows what an item wrote: its log, and its outputs as downloads', async () => {
    const batch = await world.batch({
      processor: 'writer',
      items: [{ input: { text: 'good evening' } }, { input: { text: 'bye' } }],
    });
    await world.done(batch);
    const { json: logs } = await world.call('GET', `/api/batches/${batch.id}/items/1/logs`);
    expect(logs).toMatchObject({
      data: [
        { seq: 1, text: expect.stringContaining('wrote good evening'), at: expect.stringMatching(/Z$/) },
      ],
      next: null,
    });
    const { json: page } = await world.call('GET', `/api/batches/${batch.id}/logs?limit=1`);
    const { json: rest } = await world.call(
      'GET',
      `/api/batches/${batch.id}/logs?limit=1&after=${page.next}`,
    );
    expect([page.data.length, rest.data.length]).toEqual([1, 1]);
    const output = await world.call('GET', `/api/batches/${batch.id}/items/1/outputs/out%20put.txt`);
    expect([output.status, output.text]).toEqual([200, 'good evening']);
    expect(output.headers['content-disposition']).toContain('attachment');
    expectProblem(
      await world.call('GET', `/api/batches/${batch.id}/items/1/outputs/other.txt`),
      404,
      'not_found',
    );
    expectProblem(
      await world.call('GET', `/api/batches/${batch.id}/items/1/outputs/..%2f..%2fsheaf.db`),
      404,
      'not_found',
    );
  });

  it.each(['0', '-1', '1.5', 'x', '01', '999999999', '99999999999999999999'])(
    'item %s is not there',
    async (seq) => {
      const { id } = await world.batch({ start: false, items: [{}] });
      for (const path of ['', '/attempts', '/logs', '/outputs/a'])
        expectProblem(await world.call('GET', `/api/batches/${id}/items/${seq}${path}`), 404, 'not_found');
    },
  );

  it('removes an item that waits, and no other', async () => {
    const { id } = await world.batch({ start: false, items: [{}, {}] });
    expect((await world.call('DELETE', `/api/batches/${id}/items/1`)).json).toMatchObject({
      id,
      total_items: 1,
    });
    expectProblem(await world.call('GET', `/api/batches/${id}/items/1`), 404, 'not_found');
    const done = await world.batch({ items: [{}] });
    await world.done(done);
    expectProblem(await world.call('DELETE', `/api/batches/${done.id}/items/1`), 409, 'wrong_status');
  });
});

describe('what is installed', () => {
  it('names processors with their schemas, and templates', async () => {
    const { json } = await world.call('GET', '/api/processors');
    expect(json.data.map(({ name }: { name: string }) => name)).toEqual(
      expect.arrayContaining(['probe', 'strict']),
    );
    expect((await world.call('GET', '/api/processors/strict')).json).toMatchObject({
      idempotent: true,
      input_schema: { properties: { n: { type: 'integer' } } },
    });
    expectProblem(await world.call('GET', '/api/processors/nothing'), 404, 'not_found');
    expect((await world.call('GET', '/api/templates')).json).toEqual({ data: [] });
    expectProblem(await world.call('GET', '/api/templates/nothing'), 404, 'not_found');
  });
});
