import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectProblem, form, NOBODY, openWorld, type World } from './world.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

const bytes = Buffer.from('0123456789abcdefghij');
const upload = (name = 'a.bin', body = bytes, type = 'application/octet-stream') =>
  world.call('POST', `/api/files?name=${encodeURIComponent(name)}`, {
    body,
    headers: { 'content-type': type },
  });
const read = (id: string, headers: Record<string, string> = {}, method = 'GET') =>
  world.call(method, `/api/files/${id}/content`, { headers });

describe('uploading a file', () => {
  it('stores the bytes as they come and says their sha256', async () => {
    const { status, headers, json } = await upload('a b.bin');
    expect([status, headers.location]).toEqual([201, `/api/files/${json.id}`]);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    expect(json).toMatchObject({
      name: 'a b.bin',
      bytes: 20,
      sha256,
      media_type: 'application/octet-stream',
      created_at: expect.stringMatching(/Z$/),
    });
    expect((await world.call('GET', `/api/files/${json.id}`)).json).toEqual(json);
  });

  it('takes a form with one file, and JSON as the file it is', async () => {
    const { json } = await world.call('POST', '/api/files', form([['f', 'hello', 'hello.txt']]));
    expect(json).toMatchObject({ name: 'hello.txt', bytes: 5 });
    const raw = await upload('x.json', Buffer.from('{"not": parsed'), 'application/json; charset=utf-8');
    expect(raw.json).toMatchObject({ name: 'x.json', media_type: 'application/json' });
    expect((await read(raw.json.id)).text).toBe('{"not": parsed');
  });

  it('becomes an item by its id', async () => {
    const { json: file } = await upload();
    const batch = await world.batch({ start: false, items: [{ name: 'other name', file_id: file.id }] });
    const { json } = await world.call('GET', `/api/batches/${batch.id}/items/1`);
    expect(json).toMatchObject({ name: 'other name', file: { id: file.id, sha256: file.sha256 } });
  });

  it('refuses a form with no file, two, or a field', async () => {
    for (const parts of [
      [],
      [
        ['f', 'a', 'a'],
        ['f', 'b', 'b'],
      ],
      [
        ['name', 'x'],
        ['f', 'a', 'a'],
      ],
    ] as Parameters<typeof form>[0][]) {
      expectProblem(await world.call('POST', '/api/files', form(parts)), 400, 'malformed_multipart');
    }
  });

  it('refuses bytes without a type, a name, or a possible name', async () => {
    expectProblem(
      await world.call('POST', '/api/files?name=a', { body: bytes, headers: { 'content-type': '' } }),
      415,
      'unsupported_media_type',
    );
    expectProblem(
      await world.call('POST', '/api/files', { body: bytes, headers: { 'content-type': 'a/b' } }),
      422,
      'invalid_query',
    );
    expectProblem(await upload('\u202e\u200b'), 422, 'invalid_name');
    expectProblem(await upload('x'.repeat(256)), 422, 'invalid_name');
  });

  it('keeps of a type only what is one', async () => {
    expectProblem(await upload('a', bytes, '<script>'), 415, 'unsupported_media_type');
    expect((await upload('a', bytes, `a/${'b'.repeat(100)}`)).json.media_type).toBe(
      'application/octet-stream',
    );
    expect((await upload('a', bytes, 'Image/SVG+xml; charset=utf-8')).json.media_type).toBe('image/svg+xml');
  });
});

describe('downloading a file', () => {
  it('is an attachment that no browser runs', async () => {
    const { json } = await upload('naïve "ファイル".html', Buffer.from('<script>'), 'text/html');
    const { status, headers, text } = await read(json.id, { accept: 'image/png' });
    expect([status, text]).toEqual([200, '<script>']);
    expect(headers).toMatchObject({
      'content-type': expect.stringMatching(/^text\/html/),
      'content-length': '8',
      'content-disposition':
        `attachment; filename="na_ve _____.html"; filename*=UTF-8''na%C3%AFve%20%22%E3%83%95%E3%82%A1%E3%82%A4%E3%83%AB%22.html`.replace(
          '_____',
          '______',
        ),
      'content-security-policy': "default-src 'none'; sandbox",
      'x-content-type-options': 'nosniff',
      'cache-control': 'private, no-store',
      'accept-ranges': 'bytes',
      etag: `"${json.sha256}"`,
    });
  });

  it.each([
    ['bytes=0-4', '01234', 'bytes 0-4/20'],
    ['bytes=15-', 'fghij', 'bytes 15-19/20'],
    ['bytes=-3', 'hij', 'bytes 17-19/20'],
    ['bytes=18-100', 'ij', 'bytes 18-19/20'],
    [
      `bytes=${Array.from({ length: 1_000 }, (_, at) => `${at % 20}-${at % 20}`).join(',')}`,
      '0',
      'bytes 0-0/20',
    ],
  ])('%.20s: a part of it', async (range, part, contentRange) => {
    const { json } = await upload();
    const { status, headers, text } = await read(json.id, { range });
    expect([status, text, headers['content-range'], headers['content-length']]).toEqual([
      206,
      part,
      contentRange,
      String(part.length),
    ]);
  });

  it.each(['bytes=20-', 'bytes=50-60', 'bytes=9-5', 'bytes=-0'])(
    '%s: range_not_satisfiable, with the size',
    async (range) => {
      const { json } = await upload();
      const answer = await read(json.id, { range });
      expectProblem(answer, 416, 'range_not_satisfiable');
      expect(answer.headers['content-range']).toBe('bytes */20');
      expect(answer.headers).not.toHaveProperty('content-disposition');
    },
  );

  it.each(['lines=1-2', 'bytes', 'bytes=x-y'])('%s: all of it', async (range) => {
    const { json } = await upload();
    expect([(await read(json.id, { range })).status, (await read(json.id, { range })).text]).toEqual([
      200,
      String(bytes),
    ]);
  });

  it('goes on only with the same bytes', async () => {
    const { json } = await upload();
    const range = 'bytes=10-';
    expect((await read(json.id, { range, 'if-range': `"${json.sha256}"` })).status).toBe(206);
    expect((await read(json.id, { range, 'if-range': '"other"' })).text).toBe(String(bytes));
    expect((await read(json.id, { range, 'if-range': new Date().toUTCString() })).status).toBe(200);
  });

  it('sends nothing that the client has already', async () => {
    const { json } = await upload();
    for (const tag of [`"${json.sha256}"`, `W/"${json.sha256}"`, `"x", "${json.sha256}"`, '*']) {
      const { status, text, headers } = await read(json.id, { 'if-none-match': tag });
      expect([status, text, headers.etag]).toEqual([304, '', `"${json.sha256}"`]);
    }
    expect((await read(json.id, { 'if-none-match': '"other"' })).status).toBe(200);
  });

  it('answers HEAD with the size and no bytes', async () => {
    const { json } = await upload();
    const { status, headers, text } = await read(json.id, {}, 'HEAD');
    expect([status, headers['content-length'], text]).toEqual([200, '20', '']);
  });

  it('sends an empty file, of which no part can be asked for', async () => {
    const { json } = await upload('empty', Buffer.alloc(0));
    expect([(await read(json.id)).status, (await read(json.id)).text]).toEqual([200, '']);
    expectProblem(await read(json.id, { range: 'bytes=0-' }), 416, 'range_not_satisfiable');
  });

  it.each([NOBODY.replace('bat', 'fil'), NOBODY, 'x', '..%2f..%2fsheaf.db'])(
    '%s is not there',
    async (id) => {
      for (const path of ['', '/content'])
        expectProblem(await world.call('GET', `/api/files/${id}${path}`), 404, 'not_found');
    },
  );
});
