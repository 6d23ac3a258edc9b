import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectProblem, form, openWorld, until, type World } from './world.ts';

let world: World;
let port: number;
let url: string;
beforeAll(async () => {
  world = await openWorld();
  ({ port, url } = await world.listen());
});
afterAll(() => world.close());

const send = (
  parts: Parameters<typeof form>[0],
  headers: Record<string, string> = {},
  path = '/api/batches',
) => {
  const { body, headers: own } = form(parts);
  return world.call('POST', path, { body, headers: { ...own, ...headers } });
};

/** A body of raw parts, for what no honest client writes. */
const sendRaw = (body: string, path = '/api/batches', type = 'multipart/form-data; boundary=b0') =>
  world.call('POST', path, { body, headers: { 'content-type': type } });

const PROCESSOR = '--b0\r\nContent-Disposition: form-data; name="processor"\r\n\r\nprobe\r\n';
const FILE = '--b0\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\n\r\nhello\r\n';
const END = '--b0--\r\n';

describe('making a batch from a form', () => {
  it('reads the fields, stores the files as items, and starts', async () => {
    const { status, json, headers } = await send([
      ['name', 'From a form'],
      ['processor', 'probe'],
      ['priority', '7'],
      ['config', '{"wait_ms":0}'],
      ['labels', '{"team":"red"}'],
      ['files', 'first', 'one.txt'],
      ['files', Buffer.from([0, 255, 13, 10, 45, 45]), 'two.bin'],
      ['other', '', 'empty.txt'],
    ]);
    expect([status, headers.location]).toEqual([201, `/api/batches/${json.id}`]);
    expect(json).toMatchObject({
      name: 'From a form',
      priority: 7,
      labels: { team: 'red' },
      total_items: 3,
      total_bytes: 11,
    });
    expect(json.status).not.toBe('draft');
    await world.done(json);
    const { json: items } = await world.call('GET', `/api/batches/${json.id}/items`);
    expect(
      items.data.map(({ name, file }: { name: string; file: { bytes: number } }) => [name, file.bytes]),
    ).toEqual([
      ['one.txt', 5],
      ['two.bin', 6],
      ['empty.txt', 0],
    ]);
    expect(items.data[0].file.media_type).toBe('text/plain');
  });

  it('stays a draft when asked to, and without files', async () => {
    expect(
      (
        await send([
          ['processor', 'probe'],
          ['start', 'false'],
          ['f', 'x', 'a.txt'],
        ])
      ).json,
    ).toMatchObject({ status: 'draft', total_items: 1 });
    expect((await send([['processor', 'probe']])).json).toMatchObject({ status: 'draft', total_items: 0 });
    const both = await send([
      ['processor', 'probe'],
      ['items', '[{"input":1}]'],
      ['start', 'false'],
      ['f', 'x', 'a.txt'],
    ]);
    expect(both.json).toMatchObject({ total_items: 2 });
  });

  it.each([
    'ファイル.png',
    'cafe\u0301.png',
    '🏳️‍🌈.gif',
    'שלום.txt',
    '../../etc/passwd',
    'C:\\x.txt',
    'photos/a b.jpg',
  ])('keeps the name %s', async (name) => {
    const { status, json } = await send([
      ['processor', 'probe'],
      ['start', 'false'],
      ['f', 'x', name],
    ]);
    expect(status).toBe(201);
    const { json: item } = await world.call('GET', `/api/batches/${json.id}/items/1`);
    expect(item.name).toBe(name.normalize('NFC'));
  });

  it.each([
    ['a field that does not exist', [['procesor', 'probe']], 'invalid', '/procesor'],
    [
      'a number that is none',
      [
        ['processor', 'probe'],
        ['priority', 'high'],
      ],
      'invalid',
      '/priority',
    ],
    [
      'a number out of range',
      [
        ['processor', 'probe'],
        ['priority', '10'],
      ],
      'invalid',
      '/priority',
    ],
    [
      'broken JSON',
      [
        ['processor', 'probe'],
        ['config', '{"a":'],
      ],
      'invalid',
      '/config',
    ],
    [
      'an unknown processor',
      [
        ['processor', 'nothing'],
        ['f', 'x', 'a.txt'],
      ],
      'unknown_processor',
      undefined,
    ],
  ] as const)('refuses %s, and makes nothing', async (_, parts, code, pointer) => {
    const { json: before } = await world.call('GET', '/api/batches');
    const problem = expectProblem(await send(parts as never), 422, code);
    if (pointer !== undefined) expect(problem.errors[0].pointer).toBe(pointer);
    expect((await world.call('GET', '/api/batches')).json.total).toBe(before.total);
  });

  it('makes one batch of a repeated call with an Idempotency-Key', async () => {
    const parts: Parameters<typeof form>[0] = [
      ['processor', 'probe'],
      ['f', 'x', 'a.txt'],
    ];
    const headers = { 'idempotency-key': 'form-1' };
    const [first, second] = [await send(parts, headers), await send(parts, headers)];
    expect([first.status, second.status]).toEqual([201, 200]);
    expect(second.json).toMatchObject({ id: first.json.id, total_items: 1 });
    expectProblem(await send([['name', 'other'], ...parts], headers), 422, 'key_reused');
  });

  it('stores a long file while it arrives', async () => {
    const size = 48 * 1_048_576;
    const body = new FormData();
    body.append('processor', 'probe');
    body.append('start', 'false');
    body.append('f', new Blob([Buffer.alloc(size, 'sheaf')]), 'long.bin');
    const response = await fetch(`${url}/api/batches`, { method: 'POST', body });
    expect(await response.json()).toMatchObject({ total_items: 1, total_bytes: size });
  });
});

describe('a form that breaks', () => {
  it.each([
    ['without a boundary', PROCESSOR + FILE + END, 'multipart/form-data'],
    ['with another boundary', PROCESSOR + FILE + END, 'multipart/form-data; boundary=other'],
    ['that is no form', 'hello', undefined],
    ['with a field after a file', PROCESSOR + FILE + PROCESSOR.replace('processor', 'name') + END, undefined],
    ['with a field given twice', PROCESSOR + PROCESSOR + END, undefined],
    [
      'with a part that has no name',
      `${PROCESSOR}--b0\r\nContent-Disposition: form-data; filename="a"\r\n\r\nx\r\n${END}`,
      undefined,
    ],
    [
      'with a part that says nothing of itself',
      `${PROCESSOR}--b0\r\nContent-Type: text/plain\r\n\r\nx\r\n${END}`,
      undefined,
    ],
    [
      'with a bad filename*',
      `${PROCESSOR}--b0\r\nContent-Disposition: form-data; name="f"; filename*=UTF-8''%E0%A4%A\r\n\r\nx\r\n${END}`,
      undefined,
    ],
    [
      'in a form',
      `${PROCESSOR}--b0\r\nContent-Disposition: form-data; name="f"\r\nContent-Type: multipart/mixed; boundary=b1\r\n\r\n--b1--\r\n${END}`,
      undefined,
    ],
    ['that ends within its fields', PROCESSOR.slice(0, -4), undefined],
  ])('%s: malformed_multipart', async (_, body, type) => {
    expectProblem(await sendRaw(body, '/api/batches', type), 400, 'malformed_multipart');
  });

  it('with ten thousand parts: malformed_multipart, and nothing is made', async () => {
    const files = Array.from({ length: 10_000 }, () => ['f', '', 'a'] as const);
    const problem = expectProblem(await send([['processor', 'probe'], ...files]), 400, 'malformed_multipart');
    expect(problem).not.toHaveProperty('batch_id');
    const fields = Array.from({ length: 101 }, (_, at) => [`f${at}`, ''] as const);
    expectProblem(await send(fields), 400, 'malformed_multipart');
  });

  it('with nothing in it says what is missing', async () => {
    expectProblem(await sendRaw(''), 422, 'invalid');
    expectProblem(await send([]), 422, 'invalid');
  });

  it('with a field of a forbidden name: forbidden_key', async () => {
    expectProblem(
      await send([
        ['__proto__', 'x'],
        ['processor', 'probe'],
      ]),
      400,
      'forbidden_key',
    );
    expectProblem(
      await send([
        ['processor', 'probe'],
        ['config', '{"__proto__":{}}'],
      ]),
      400,
      'forbidden_key',
    );
  });

  it('with a field over 1 MiB: too_large', async () => {
    expectProblem(
      await send([
        ['processor', 'probe'],
        ['description', 'x'.repeat(1_048_577)],
      ]),
      413,
      'too_large',
    );
  });

  it('in the middle of its files leaves a draft with the whole ones, and says so', async () => {
    const answer = await sendRaw(`${PROCESSOR}${FILE}${FILE}${FILE.slice(0, -4)}`);
    const problem = expectProblem(answer, 400, 'malformed_multipart');
    expect(problem).toMatchObject({
      batch_id: expect.stringMatching(/^bat_/),
      batch_status: 'draft',
      accepted: 2,
    });
    const { json } = await world.call('GET', `/api/batches/${problem.batch_id}`);
    expect(json).toMatchObject({ status: 'draft', total_items: 2 });
    const { json: rest } = await send([['f', 'x', 'rest.txt']], {}, `/api/batches/${problem.batch_id}/items`);
    expect(rest).toMatchObject({ accepted: 1, first_seq: 3 });
    await world.call('POST', `/api/batches/${problem.batch_id}/start`);
    await world.done({ id: problem.batch_id });
  });

  it('by a bad file name leaves a draft with the files before it', async () => {
    const problem = expectProblem(
      await send([
        ['processor', 'probe'],
        ['f', 'x', 'a.txt'],
        ['f', 'x', '\u200b'],
        ['f', 'x', 'b.txt'],
      ]),
      422,
      'invalid_name',
    );
    expect(problem).toMatchObject({ batch_status: 'draft', accepted: 1 });
  });

  it('is not taken for done when it is repeated with its Idempotency-Key', async () => {
    const headers = { 'content-type': 'multipart/form-data; boundary=b0', 'idempotency-key': 'broken-1' };
    const body = `${PROCESSOR}${FILE}${FILE.slice(0, -4)}`;
    const first = await world.call('POST', '/api/batches', { body, headers });
    const again = await world.call('POST', '/api/batches', { body: PROCESSOR + FILE + FILE + END, headers });
    const problem = expectProblem(again, 409, 'wrong_status');
    expect(problem).toMatchObject({
      batch_id: first.json.batch_id,
      current_status: 'draft',
      allowed_actions: expect.arrayContaining(['append', 'start']),
    });
  });

  it('because its client vanished leaves a draft with the whole files', async () => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    const name = `vanished ${crypto.randomUUID()}`;
    const fields = `${PROCESSOR}--b0\r\nContent-Disposition: form-data; name="name"\r\n\r\n${name}\r\n`;
    const head =
      'Host: localhost\r\nContent-Type: multipart/form-data; boundary=b0\r\nContent-Length: 100000';
    socket.write(`POST /api/batches HTTP/1.1\r\n${head}\r\n\r\n${fields}${FILE}${FILE.slice(0, -4)}`);
    await until(async () => (await world.engine.find({ text: name })).length === 1);
    socket.destroy();
    await until(async () => (await world.engine.find({ text: name }))[0]?.total_items === 1);
    expect((await world.engine.find({ text: name }))[0]?.status).toBe('draft');
  });
});

describe('a file over the limit', () => {
  const big = ['f', Buffer.alloc(200_000, 'x'), 'big.txt'] as const;
  const small = ['f', 'small', 'small.txt'] as const;

  it('is refused and never kept cut short; what came before it stays', async () => {
    const own = await openWorld({ max_file_bytes: 100_000 });
    const made = expectProblem(
      await own.call('POST', '/api/batches', form([['processor', 'probe'], small, big, small])),
      413,
      'too_large',
    );
    expect(made).toMatchObject({ limit: 100_000, batch_status: 'draft', accepted: 1 });
    const { id } = await own.batch();
    const added = expectProblem(
      await own.call('POST', `/api/batches/${id}/items`, form([small, small, big])),
      413,
      'too_large',
    );
    expect(added).toMatchObject({ accepted: 2 });
    expect((await own.engine.get({ batch_id: id })).total_items).toBe(2);
    expectProblem(await own.call('POST', '/api/files', form([big])), 413, 'too_large');
    const bytes = { body: big[1], headers: { 'content-type': 'text/plain' } };
    expectProblem(await own.call('POST', '/api/files?name=big', bytes), 413, 'too_large');
    expect(
      (await own.call('POST', '/api/files', form([['f', Buffer.alloc(100_000), 'just']]))).json.bytes,
    ).toBe(100_000);
    await own.close();
  });

  it('is refused also while it still arrives', async () => {
    const own = await openWorld({ max_file_bytes: 1_000_000 });
    const { url: ownUrl } = await own.listen();
    const body = new FormData();
    body.append('processor', 'probe');
    body.append('f', new Blob([Buffer.alloc(20_000_000)]), 'big');
    const response = await fetch(`${ownUrl}/api/batches`, { method: 'POST', body });
    expect([response.status, await response.json()]).toEqual([
      413,
      expect.objectContaining({ code: 'too_large', accepted: 0 }),
    ]);
    await own.close();
  });
});

describe('appending a form', () => {
  it('adds each file as an item', async () => {
    const { id } = await world.batch();
    const { json } = await send(
      [
        ['files', 'a', 'a.txt'],
        ['files', 'b', 'b.txt'],
      ],
      {},
      `/api/batches/${id}/items`,
    );
    expect(json).toMatchObject({ accepted: 2, first_seq: 1, batch: { total_items: 2 } });
  });

  it('takes files only', async () => {
    const { id } = await world.batch();
    const path = `/api/batches/${id}/items`;
    const problem = expectProblem(
      await send(
        [
          ['name', 'x'],
          ['f', 'a', 'a.txt'],
        ],
        {},
        path,
      ),
      422,
      'invalid',
    );
    expect(problem.errors[0].pointer).toBe('/name');
    expectProblem(await sendRaw(FILE + PROCESSOR + END, path), 400, 'malformed_multipart');
  });

  it('keeps the whole files of a body that ends early, and says how many', async () => {
    const { id } = await world.batch();
    const problem = expectProblem(
      await sendRaw(`${FILE}${FILE.slice(0, -4)}`, `/api/batches/${id}/items`),
      400,
      'malformed_multipart',
    );
    expect(problem).toMatchObject({ accepted: 1 });
    expect((await world.call('GET', `/api/batches/${id}`)).json.total_items).toBe(1);
  });
});
