import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Json } from '@sheaf/protocol';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createInlineRunner } from '../src/adapters/runner-inline/inline-runner.ts';
import type { Runner, RunResult } from '../src/ports/runner.ts';
import { defineHttp, type HttpOptions } from '../src/processors/http/http.ts';
import { isPublicAddress } from '../src/processors/http/public-address.ts';
import { errorOf, makeTask, resultOf, runTask } from '../src/testing/contracts/runner/scene.ts';

type Seen = { method: string; url: string; headers: IncomingMessage['headers']; body: string };

let runner: Runner;
let server: Server;
let other: Server;
let host: string;
let otherHost: string;
let seen: Seen[] = [];
let answer: (request: IncomingMessage, response: ServerResponse) => void;

beforeAll(async () => {
  runner = createInlineRunner();
  [server, other] = await Promise.all([listen(), listen()]);
  host = hostOf(server);
  otherHost = hostOf(other);
});
afterAll(async () => {
  await runner.close();
  for (const each of [server, other]) {
    each.closeAllConnections();
    each.close();
  }
});
beforeEach(() => {
  seen = [];
  answer = (_request, response) => response.end('well');
});

async function call(
  config: Record<string, unknown>,
  { input = {}, timeout_ms, ...options }: HttpOptions & { input?: Json; timeout_ms?: number } = {},
): Promise<RunResult> {
  const http = defineHttp({ allow_hosts: [host, otherHost], ...options });
  const parsed = http.config.parse(config) as Json;
  const task = makeTask(http, { config: parsed, input, ...(timeout_ms === undefined ? {} : { timeout_ms }) });
  return await runTask(runner, task);
}

describe('http', () => {
  test('calls the URL of the item, placeholders percent-encoded', async () => {
    const result = await call(
      { url: `http://${host}/a/{input.id}?name={name}` },
      { input: { id: 'a/b?c#d&e é' } },
    );
    expect(resultOf(result)).toEqual({ status: 200, body: 'well' });
    expect(seen[0]?.url).toBe('/a/a%2Fb%3Fc%23d%26e%20%C3%A9?name=photo.jpg');
  });

  test('takes a whole URL from the item', async () => {
    await call({ url: '{input.url}' }, { input: { url: `http://${host}/whole?x=1` } });
    expect(seen[0]?.url).toBe('/whole?x=1');
  });

  test('reads a JSON answer as JSON', async () => {
    answer = (_request, response) => {
      response.setHeader('content-type', 'application/problem+json; charset=utf-8');
      response.end('{"a":[1]}');
    };
    expect(resultOf(await call({ url: `http://${host}/` }))).toEqual({ status: 200, body: { a: [1] } });
  });

  test('sends a JSON body in which placeholders keep their types', async () => {
    const body = { id: '{input.id}', text: 'item {seq}: {input.quote}', list: ['{input.list}'], fixed: true };
    await call(
      { url: `http://${host}/`, method: 'POST', body },
      { input: { id: 5, quote: '"},{"', list: [1] } },
    );
    expect(seen[0]).toMatchObject({ method: 'POST', headers: { 'content-type': 'application/json' } });
    expect(JSON.parse(seen[0]?.body ?? '')).toEqual({
      id: 5,
      text: 'item 7: "},{"',
      list: [[1]],
      fixed: true,
    });
  });

  test('sends the same Idempotency-Key at each attempt, and none with GET', async () => {
    for (let attempt = 1; attempt <= 2; attempt++)
      await call({ url: `http://${host}/`, method: 'PUT', body: 'x' });
    await call({ url: `http://${host}/` });
    expect(seen.map(({ headers }) => headers['idempotency-key'])).toEqual([
      'bat_00000000000000000000000001/7',
      'bat_00000000000000000000000001/7',
      undefined,
    ]);
  });

  test('uses one connection for many items', async () => {
    const ports = new Set<number | undefined>();
    answer = (request, response) => {
      ports.add(request.socket.remotePort);
      response.end();
    };
    const http = defineHttp({ allow_hosts: [host] });
    const task = makeTask(http, { config: http.config.parse({ url: `http://${host}/` }) as Json });
    for (let item = 0; item < 10; item++) await runTask(runner, task);
    expect(ports.size).toBe(1);
  });

  test.each([
    [404, 'permanent'],
    [400, 'permanent'],
    [500, 'retryable'],
    [502, 'retryable'],
    [408, 'retryable'],
    [429, 'retryable'],
    [503, 'retryable'],
  ])('calls status %i %s', async (status, kind) => {
    answer = (_request, response) => response.writeHead(status).end();
    expect(errorOf(await call({ url: `http://${host}/secret?key=1` }))).toEqual({
      kind,
      code: `http_${status}`,
      message: `http://${host}/secret answered ${status}.`,
    });
  });

  test('takes the statuses it is told to expect', async () => {
    answer = (_request, response) => response.writeHead(404).end();
    expect(resultOf(await call({ url: `http://${host}/`, expect_status: [404] }))).toMatchObject({
      status: 404,
    });
  });

  test.each([
    ['2', 2_000, 2_000],
    [new Date(Date.now() + 30_000).toUTCString(), 20_000, 30_000],
    [new Date(0).toUTCString(), 0, 0],
  ])('waits as long as Retry-After asks: %s', async (header, least, most) => {
    answer = (_request, response) => response.writeHead(503, { 'retry-after': header }).end();
    const result = await call({ url: `http://${host}/` });
    expect(result).toMatchObject({ ok: false, error: { kind: 'retryable' } });
    expect(result.ok ? null : result.retry_after_ms).toBeGreaterThanOrEqual(least);
    expect(result.ok ? null : result.retry_after_ms).toBeLessThanOrEqual(most);
  });

  test('ends at its own timeout, also in the middle of an answer', async () => {
    answer = (_request, response) => void response.write('half');
    expect(errorOf(await call({ url: `http://${host}/`, timeout_ms: 50 }))).toMatchObject({
      kind: 'retryable',
      code: 'http_timeout',
    });
  });

  test("ends at the item's timeout", async () => {
    answer = () => undefined;
    expect(errorOf(await call({ url: `http://${host}/` }, { timeout_ms: 50 })).kind).toBe('timeout');
  });

  test('refuses an answer over 256 KiB, without reading it all', async () => {
    let sent = 0;
    answer = (_request, response) => {
      const more = () => {
        while (response.write(Buffer.alloc(65_536))) sent += 65_536;
      };
      response.on('drain', more);
      more();
    };
    expect(errorOf(await call({ url: `http://${host}/` })).code).toBe('response_too_large');
    expect(sent).toBeLessThan(50_000_000);
  });

  test('says in small letters what the network said', async () => {
    const closed = await listen();
    const gone = hostOf(closed);
    await new Promise((resolve) => closed.close(resolve));
    expect(errorOf(await call({ url: `http://${gone}/` }, { allow_hosts: [gone] })).code).toBe(
      'econnrefused',
    );
  });

  test.each([
    [{ url: 'ftp://{input.id}/' }, /not an http/],
    [{ url: 'file:///etc/passwd' }, /not an http/],
    [{ url: 'http://x/{input.id}', headers: { 'x-id': '{input.id}' } }, /line end/],
  ])('fails for good when the item makes no call of %j', async (config, words) => {
    const error = errorOf(await call(config, { input: { id: 'a\r\nhost: b' } }));
    expect(error).toMatchObject({ kind: 'permanent', code: 'bad_input' });
    expect(error.message).toMatch(words);
  });

  test.each(['.', '..'])('refuses %s as a part of a path', async (id) => {
    expect(errorOf(await call({ url: `http://${host}/users/{input.id}/x` }, { input: { id } })).code).toBe(
      'bad_input',
    );
  });

  test.each([
    { url: 'http://x/{nmae}' },
    { url: 'http://x/', headers: { Host: 'y' } },
    { url: 'http://x/', headers: { 'a b': 'y' } },
    { url: 'http://x/', method: 'TRACE' },
    { url: 'http://x/', surprise: 1 },
  ])('refuses the config %j', (config) => {
    expect(defineHttp().config.safeParse(config).success).toBe(false);
  });
});

describe('http redirects', () => {
  test('follows up to three, and no more', async () => {
    answer = (request, response) => {
      const left = Number(request.url?.slice(1));
      if (left === 0) response.end('there');
      else response.writeHead(302, { location: `/${left - 1}` }).end();
    };
    expect(resultOf(await call({ url: `http://${host}/3` }))).toMatchObject({ body: 'there' });
    expect(errorOf(await call({ url: `http://${host}/4` })).code).toBe('too_many_redirects');
  });

  test('takes no credentials along to another origin', async () => {
    answer = (request, response) => {
      if (request.headers.host === otherHost) response.end('there');
      else response.writeHead(307, { location: `http://${otherHost}/` }).end();
    };
    const headers = { authorization: 'Bearer x', cookie: 'a=b', 'x-plain': 'kept' };
    await call({ url: `http://${host}/`, method: 'POST', body: { a: 1 }, headers });
    expect(seen[0]?.headers.authorization).toBe('Bearer x');
    expect(seen[1]).toMatchObject({ method: 'POST', body: '{"a":1}', headers: { 'x-plain': 'kept' } });
    expect(seen[1]?.headers).not.toHaveProperty('authorization');
    expect(seen[1]?.headers).not.toHaveProperty('cookie');
  });

  test('asks with GET after a POST that was answered 303', async () => {
    answer = (request, response) => {
      if (request.url === '/done') response.end('there');
      else response.writeHead(303, { location: '/done' }).end();
    };
    await call({ url: `http://${host}/`, method: 'POST', body: { a: 1 } });
    expect(seen[1]).toMatchObject({ method: 'GET', url: '/done', body: '' });
  });

  test.each([
    'http://169.254.169.254/latest/meta-data',
    'http://[::1]/',
    'http://localhost/',
    'http://0x7f.1/',
  ])('does not follow one to %s', async (location) => {
    answer = (_request, response) => response.writeHead(302, { location }).end();
    expect(errorOf(await call({ url: `http://${host}/` })).code).toBe('address_not_allowed');
    expect(seen).toHaveLength(1);
  });

  test('does not follow one to another scheme', async () => {
    answer = (_request, response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end();
    expect(errorOf(await call({ url: `http://${host}/` })).code).toBe('bad_redirect');
  });
});

describe('http to inner addresses', () => {
  test.each([
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f000001',
    '0177.0.0.1',
    '127.0.0.1.',
    '0.0.0.0',
    '10.0.0.1',
    '100.64.0.1',
    '169.254.169.254',
    '172.16.0.1',
    '192.168.1.1',
    '198.18.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '[::]',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '[::ffff:a9fe:a9fe]',
    '[64:ff9b::a9fe:a9fe]',
    '[64:ff9b:1::1]',
    '[2002:7f00:1::]',
    '[2001::1]',
    '[fe80::1]',
    '[fc00::1]',
    '[fd00:ec2::254]',
    '[ff02::1]',
    'localhost',
    'LOCALHOST',
  ])('refuses %s', async (name) => {
    const port = host.slice(host.indexOf(':'));
    const result = await call({ url: `http://${name}${port}/` }, { allow_hosts: [] });
    expect(errorOf(result)).toMatchObject({ kind: 'permanent', code: 'address_not_allowed' });
    expect(seen).toHaveLength(0);
  });

  test('refuses a name when any of its addresses is an inner one', async () => {
    const lookup = async () => [
      { address: '93.184.216.34', family: 4 },
      { address: '10.0.0.1', family: 4 },
    ];
    expect(errorOf(await call({ url: 'http://mixed.example/' }, { lookup })).code).toBe(
      'address_not_allowed',
    );
  });

  test('connects to the address it has checked, whatever the name says next', async () => {
    const answers = ['127.0.0.1', '10.0.0.1'];
    let asked = 0;
    const lookup = async () => [{ address: answers[asked++] ?? '', family: 4 }];
    const name = `rebinding.example${host.slice(host.indexOf(':'))}`;
    const result = await call({ url: `http://${name}/` }, { lookup, allow_hosts: [name] });
    expect(resultOf(result)).toMatchObject({ body: 'well' });
    expect(asked).toBe(1);
  });

  test('calls only the allowed port of an allowed host', async () => {
    expect((await call({ url: `http://${host}/` }, { allow_hosts: [host] })).ok).toBe(true);
    expect(errorOf(await call({ url: `http://${otherHost}/` }, { allow_hosts: [host] })).code).toBe(
      'address_not_allowed',
    );
    expect((await call({ url: `http://${otherHost}/` }, { allow_hosts: ['127.0.0.1'] })).ok).toBe(true);
  });

  test.each(['8.8.8.8', '93.184.216.34', '2606:2800:220:1:248:1893:25c8:1946', '2a00:1450:4001::1'])(
    'knows %s as public',
    (address) => {
      expect(isPublicAddress(address)).toBe(true);
    },
  );

  test('knows what is no address as not public', () => {
    for (const text of ['', 'localhost', '1.2.3', '::ffff:8.8.8.8', 'fe80::1%eth0'])
      expect(isPublicAddress(text)).toBe(false);
  });

  test('goes around a proxy that the environment names', async () => {
    process.env.HTTP_PROXY = `http://${otherHost}`;
    process.env.NODE_USE_ENV_PROXY = '1';
    await call({ url: `http://${host}/` });
    delete process.env.HTTP_PROXY;
    delete process.env.NODE_USE_ENV_PROXY;
    expect(seen.map(({ headers }) => headers.host)).toEqual([host]);
  });
});

function listen(): Promise<Server> {
  const started = createServer((request, response) => {
    const { method = '', url = '', headers } = request;
    let body = '';
    request.on('data', (chunk) => (body += chunk));
    request.on('end', () => {
      seen.push({ method, url, headers, body });
      answer(request, response);
    });
  });
  return new Promise((resolve) => started.listen(0, '127.0.0.1', () => resolve(started)));
}

function hostOf(server: Server): string {
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}
