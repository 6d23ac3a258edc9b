import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectProblem, NOBODY, openWorld, type World } from './world.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

const JSON_TYPE = { 'content-type': 'application/json' };
const post = (body: string | Buffer, headers: Record<string, string> = JSON_TYPE) =>
  world.call('POST', '/api/batches', { body, headers });
const create = (json: unknown) => world.call('POST', '/api/batches', { json });

describe('bodies that are not JSON', () => {
  it.each([
    ['truncated', '{"processor":"probe"'],
    ['with a byte order mark', '\ufeff{"processor":"probe"}'],
    ['with NaN', '{"processor":"probe","priority":NaN}'],
    ['with a trailing comma', '{"processor":"probe",}'],
    ['with a key given twice', '{"processor":"probe","processor":"strict"}'],
    ['with nothing in it', ' '],
    ['with words after it', '{"processor":"probe"} and more'],
  ])('%s: malformed_json', async (_, body) => {
    expectProblem(await post(body), 400, 'malformed_json');
  });

  it('without any body: malformed_json', async () => {
    expectProblem(await world.call('POST', '/api/batches'), 400, 'malformed_json');
    expectProblem(
      await world.call('PATCH', `/api/batches/${NOBODY}`, { body: '', headers: JSON_TYPE }),
      400,
      'malformed_json',
    );
  });

  it('in bytes that are not UTF-8: malformed_json', async () => {
    expectProblem(await post(Buffer.from([0x22, 0xc3, 0x28, 0x22])), 400, 'malformed_json');
  });
});

describe('types of bodies and answers', () => {
  it.each([
    ['no Content-Type', {}],
    ['text/plain', { 'content-type': 'text/plain' }],
    ['a form of a page', { 'content-type': 'application/x-www-form-urlencoded' }],
    ['NDJSON where there is one batch', { 'content-type': 'application/x-ndjson' }],
    ['another charset', { 'content-type': 'application/json; charset=utf-16' }],
    ['a compressed body', { 'content-type': 'application/json', 'content-encoding': 'gzip' }],
  ])('%s: unsupported_media_type', async (_, headers) => {
    expectProblem(
      await post('{"processor":"probe"}', headers as Record<string, string>),
      415,
      'unsupported_media_type',
    );
  });

  it('takes JSON whatever the letters of its type', async () => {
    expect(
      (await post('{"processor":"probe"}', { 'content-type': 'Application/JSON; Charset="UTF-8"' })).status,
    ).toBe(201);
  });

  it.each(['text/html', 'application/xml, text/*', 'application/json;q=0', '*/*;q=0.0'])(
    'Accept: %s: not_acceptable',
    async (accept) => {
      expectProblem(await world.call('GET', '/api/batches', { headers: { accept } }), 406, 'not_acceptable');
    },
  );

  it.each(['*/*', 'application/*', 'text/html, application/json;q=0.1', ''])(
    'Accept: %s is fine',
    async (accept) => {
      expect((await world.call('GET', '/api/batches', { headers: { accept } })).status).toBe(200);
    },
  );

  it('a JSON body over 1 MiB where no items come: too_large', async () => {
    const body = JSON.stringify({ name: 'x'.repeat(1_048_577) });
    expectProblem(
      await world.call('PATCH', `/api/batches/${NOBODY}`, { body, headers: JSON_TYPE }),
      413,
      'too_large',
    );
  });
});

describe('wrong fields', () => {
  it.each<[string, object, string, string]>([
    ['an unknown field', { procesor: 'probe' }, '/procesor', 'unknown_field'],
    ['a field of ours', { status: 'completed' }, '/status', 'unknown_field'],
    ['a wrong type', { name: 5 }, '/name', 'wrong_type'],
    ['a number as a text', { priority: '5' }, '/priority', 'wrong_type'],
    ['a fraction', { concurrency: 1.5 }, '/concurrency', 'wrong_type'],
    ['a negative number', { max_attempts: -1 }, '/max_attempts', 'out_of_range'],
    ['a text for yes', { start: 'true' }, '/start', 'wrong_type'],
    ['null for a text', { name: null }, '/name', 'wrong_type'],
    [
      'a field within a policy',
      { backoff: { base_ms: 1, max_ms: 2, jitter: 3 } },
      '/backoff/jitter',
      'unknown_field',
    ],
    ['a field of an item', { items: [{}, { size: 1 }] }, '/items/1/size', 'unknown_field'],
    ['an item that is no object', { items: [{}, 'a.png'] }, '/items/1', 'wrong_type'],
    ['items that are no list', { items: { 0: {} } }, '/items', 'wrong_type'],
    ['data that is not base64', { items: [{ data: 'not base64!' }] }, '/items/0/data', 'invalid_base64'],
    ['data beside a file', { items: [{ data: 'aGk=', file_id: 'fil_1' }] }, '/items/0/data', 'invalid'],
    ['a field with odd letters', { 'a/b~c': 1 }, '/a~1b~0c', 'unknown_field'],
  ])('%s: invalid, with a pointer', async (_, fields, pointer, code) => {
    const problem = expectProblem(await create({ processor: 'probe', ...fields }), 422, 'invalid');
    expect(problem.errors).toMatchObject([{ pointer, code, message: expect.any(String) }]);
    expect(problem.error_count).toBe(1);
  });

  it.each(['9007199254740993', '1e999', '-1e999'])(
    'the number %s: invalid, even where anything goes',
    async (number) => {
      const problem = expectProblem(
        await post(`{"processor":"probe","metadata":{"id":${number}}}`),
        422,
        'invalid',
      );
      expect(problem.errors[0].pointer).toBe('/metadata/id');
    },
  );

  it('suggests the field that was meant', async () => {
    const { json } = await create({ procesor: 'probe' });
    expect(json.errors[0].message).toContain('did you mean "processor"?');
  });

  it('lists the first hundred of many and counts all', async () => {
    const items = Array.from({ length: 3_000 }, () => ({ wrong: true }));
    const problem = expectProblem(await create({ processor: 'probe', items }), 422, 'invalid');
    expect([problem.errors.length, problem.error_count]).toEqual([100, 3_000]);
    expect(problem.errors[99].pointer).toBe('/items/99/wrong');
  });

  it('an input that its processor does not take: invalid, with the number of the item', async () => {
    const items = [{ input: { n: 1 } }, { input: { n: '2' } }, { input: {} }];
    const problem = expectProblem(await create({ processor: 'strict', items }), 422, 'invalid');
    expect(problem.errors.map(({ pointer }: { pointer: string }) => pointer)).toEqual([
      '/items/1/input/n',
      '/items/2/input/n',
    ]);
    expect((await world.call('GET', '/api/batches?processor=strict')).json.total).toBe(0);
  });

  it('a config that its processor does not take: invalid, with a pointer', async () => {
    const problem = expectProblem(
      await create({ processor: 'strict', config: { level: 9 } }),
      422,
      'invalid',
    );
    expect(problem.errors[0].pointer).toBe('/config/level');
  });

  it('an unknown processor or template: says which are near', async () => {
    const problem = expectProblem(await create({ processor: 'strickt' }), 422, 'unknown_processor');
    expect(JSON.stringify(problem)).toContain('strict');
    expectProblem(await create({ template_id: 'nothing-like-it' }), 422, 'unknown_template');
    expectProblem(await create({ name: 'no processor' }), 422, 'invalid');
  });

  it.each([NOBODY.replace('bat', 'fil'), '../../etc/passwd'])(
    'the file %s that is not there: invalid, with the number of the item',
    async (id) => {
      const problem = expectProblem(
        await create({ processor: 'probe', items: [{}, { file_id: id }] }),
        422,
        'invalid',
      );
      expect(problem.errors).toMatchObject([{ pointer: '/items/1/file_id', code: 'not_found' }]);
    },
  );
});

describe('keys and depth', () => {
  it.each([
    '{"processor":"probe","metadata":{"__proto__":{"x":1}}}',
    '{"__proto__":{"processor":"probe"}}',
    '{"processor":"probe","config":{"constructor":{"prototype":{"x":1}}}}',
  ])('%s: forbidden_key', async (body) => {
    expectProblem(await post(body), 400, 'forbidden_key');
    expect(({} as { x?: number }).x).toBeUndefined();
  });

  it('deeper than 32, or a hundred thousand keys: too_deep', async () => {
    expectProblem(await post(`{"config":${'{"a":'.repeat(40)}1${'}'.repeat(41)}`), 422, 'too_deep');
    expectProblem(await post('['.repeat(1_000_000)), 422, 'too_deep');
    const keys = Array.from({ length: 100_000 }, (_, index) => `"k${index}":1`);
    expectProblem(await post(`{"config":{${keys}}}`), 422, 'too_deep');
  });
});

describe('names', () => {
  it.each([
    ['256 letters', 'x'.repeat(256)],
    ['more than 1,024 bytes', '漢'.repeat(342)],
    ['nothing', ''],
    ['only spaces', '   \u3000'],
    ['only zero-width letters', '\u200b\u200d'],
    ['NUL', 'a\u0000b'],
    ['an escape', 'a\u001b[31mb'],
    ['half a letter', 'a\ud800b'],
  ])('%s: invalid_name', async (_, name) => {
    const problem = expectProblem(await create({ processor: 'probe', name }), 422, 'invalid_name');
    expect(problem.errors[0]).toMatchObject({ pointer: '/name', code: 'invalid_name' });
    expectProblem(await create({ processor: 'probe', items: [{ name }] }), 422, 'invalid_name');
  });

  it.each([
    '.',
    '..',
    '../../etc/passwd',
    'C:\\x',
    'CON',
    'a\u202egnp.exe',
    '<b>"\'',
    '🏳️‍🌈',
    '-rf',
    '; $(id)',
  ])('%s is data, and comes back as it was sent', async (name) => {
    const { status, json } = await create({ processor: 'probe', name, start: false, items: [{ name }] });
    expect([status, json.name]).toEqual([201, name]);
    const { json: item } = await world.call('GET', `/api/batches/${json.id}/items/1`);
    expect(item.name).toBe(name);
  });

  it('is stored in its composed form', async () => {
    expect((await create({ processor: 'probe', name: 'cafe\u0301' })).json.name).toBe('caf\u00e9');
  });
});

describe('query parameters', () => {
  it.each([
    'limit=0',
    'limit=-1',
    'limit=1000000000',
    'limit=abc',
    'limit=1.5',
    'limit=',
    'limit=5&limit=6',
    'offset=-1',
    'sort_by=password',
    'sort_by=name;drop',
    'sort_order=up',
    'status=done',
    'status=',
    'status=running,,failed',
    'date_from=2025-13-40',
    'date_to=yesterday',
    'date_from=2026-02-01&date_to=2026-01-31',
    'label=red',
    'session_id=x',
    `search=${'x'.repeat(201)}`,
    `search=${'x'.repeat(10_000)}`,
    'search=',
    'unknown=1',
    'a[__proto__]=1',
    '__proto__=1',
    'find=x&limit=5',
    'find=',
  ])('%.60s: invalid_query', async (query) => {
    const problem = expectProblem(await world.call('GET', `/api/batches?${query}`), 422, 'invalid_query');
    expect(problem.errors[0].pointer).toMatch(/^\//);
  });

  it.each(['%_\\', "' or 1=1 --", '.*+?(a|b)', '"', '[]{}'])(
    'the search %s is a text like any other',
    async (text) => {
      const { status, json } = await world.call(
        'GET',
        `/api/batches?search=${encodeURIComponent(text)}&processor=writer`,
      );
      expect([status, json.total]).toEqual([200, 0]);
    },
  );

  it('refuses them on addresses that have none', async () => {
    expectProblem(await world.call('GET', '/api/processors?limit=5'), 422, 'invalid_query');
  });
});

it('never repeats more than a little of what was sent, and no part of a stack', async () => {
  const long = 'x'.repeat(5_000);
  const answers = await Promise.all([
    create({ processor: long.slice(0, 255) }),
    create({ [long]: 1 }),
    create({ processor: 'probe', name: long }),
    create({ processor: 'probe', recovery: long }),
    post(`{"${long}":`),
    world.call('GET', `/api/batches/${long}`),
    world.call('GET', `/${long}`),
    world.call('GET', `/api/batches?sort_by=${long}`),
    world.call('GET', `/api/batches?${long}=1`),
    post('x', { 'content-type': long }),
    create({ processor: 'probe', items: [{ key: long }] }),
  ]);
  for (const { status, text } of answers) {
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(500);
    expect(text).not.toContain('x'.repeat(201));
    expect(text).not.toMatch(/\.ts:\d|node_modules|at async/);
  }
});

it('answers nothing a client may send with a 5xx', async () => {
  const words = fc.constantFrom(
    'name',
    'processor',
    'items',
    'config',
    'priority',
    'labels',
    'probe',
    'data',
    '',
    '__proto__',
    'constructor',
    'bat_',
  );
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 4 },
      fc.jsonValue(),
      words,
      fc.double(),
      fc.array(tie('any')),
      fc.dictionary(words, tie('any')),
    ),
  })).any;
  const urls = fc.constantFrom(
    '/api/batches',
    `/api/batches/${NOBODY}`,
    `/api/batches/${NOBODY}/items`,
    '/api/batches/merge',
    '/api/batches/cleanup',
    `/api/batches/${NOBODY}/retry`,
    '/api/files',
  );
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('POST', 'PUT', 'PATCH', 'DELETE', 'GET'),
      urls,
      value,
      fc.string(),
      async (method, url, json, query) => {
        const answer = await world.call(method, `${url}?${encodeURIComponent(query)}`, { json });
        expect(answer.status).toBeLessThan(500);
      },
    ),
    { numRuns: 300 },
  );
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('POST', 'GET', 'DELETE'),
      fc.webPath(),
      fc.string(),
      async (method, path, body) => {
        const answer = await world.call(method, `/api${path}`, { body, headers: JSON_TYPE });
        expect(answer.status).toBeLessThan(500);
      },
    ),
    { numRuns: 300 },
  );
});
