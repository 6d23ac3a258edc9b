import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectProblem, NOBODY, openWorld, type World } from './world.ts';

let world: World;
let port: number;
beforeAll(async () => {
  world = await openWorld({
    allowed_hosts: ['Sheaf.Example'],
    allowed_origins: ['https://app.example'],
    request_timeout_ms: 300,
  });
  ({ port } = await world.listen());
});
afterAll(() => world.close());

/** Sends bytes to the server and answers all it says until it closes the connection. */
async function talk(request: string | Buffer): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write(request);
  return text(socket);
}

const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n';

describe('Host', () => {
  it.each(['localhost', 'localhost:5100', '127.0.0.1:1', '[::1]:80', 'LOCALHOST', 'sheaf.example:443'])(
    '%s is a name of this server',
    async (host) => {
      expect((await world.call('GET', '/healthz', { headers: { host } })).status).toBe(200);
    },
  );

  it.each([
    'evil.test',
    'localhost.evil.test',
    '127.0.0.1.evil.test',
    'evil.test:5100',
    '0.0.0.0',
    'localhost:x',
    '[::1]evil',
  ])('%s: bad_host, whatever is asked for', async (host) => {
    for (const [method, url] of [
      ['GET', '/healthz'],
      ['GET', '/readyz'],
      ['GET', '/api/batches'],
      ['POST', '/api/batches'],
      ['GET', '/api/nothing'],
      ['DELETE', '/healthz'],
      ['OPTIONS', '/api/batches'],
      ['GET', '/%zz'],
      ['GET', '/api/events'],
      ['GET', `/api/files/${NOBODY}/content`],
    ] as const) {
      expectProblem(await world.call(method, url, { headers: { host } }), 421, 'bad_host');
    }
  });

  it('is checked before a WebSocket opens', async () => {
    expect(await talk(`GET /api/events HTTP/1.1\r\nHost: evil.test\r\n${UPGRADE}\r\n`)).toMatch(
      /^HTTP\/1.1 421 .*bad_host/s,
    );
  });

  it('is wanted, also by the oldest HTTP', async () => {
    expect(await talk('GET /healthz HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n')).toMatch(
      /^HTTP\/1.1 421 /,
    );
    expect(await talk('GET /healthz HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1.1 421 /);
  });
});

describe('Origin', () => {
  const call = (method: string, headers: Record<string, string>) =>
    world.call(
      method,
      '/api/batches',
      method === 'GET' ? { headers } : { json: { processor: 'probe' }, headers },
    );

  it.each([
    ['a page of another origin', { origin: 'https://evil.test' }],
    ['a page of the same host on another port', { host: 'localhost:5100', origin: 'http://localhost:3000' }],
    ['a sandboxed page', { origin: 'null' }],
    ['a page that an old browser shows, with a cookie', { cookie: 'a=b' }],
    ['a form of another site', { 'sec-fetch-site': 'cross-site' }],
    ['a page of a sister site', { 'sec-fetch-site': 'same-site' }],
  ])('refuses a change by %s', async (_, headers) => {
    for (const method of ['POST', 'PATCH', 'DELETE'])
      expectProblem(await call(method, headers as Record<string, string>), 403, 'bad_origin');
  });

  it.each([
    ['no page at all', {}],
    ['a page of this server', { host: 'localhost:5100', origin: 'http://localhost:5100' }],
    ['a page of this server behind a proxy', { host: 'sheaf.example', origin: 'https://sheaf.example' }],
    ['what the browser calls the same origin', { 'sec-fetch-site': 'same-origin', origin: 'null' }],
    ['the address bar', { 'sec-fetch-site': 'none' }],
    ['an allowed page', { origin: 'https://app.example', 'sec-fetch-site': 'cross-site' }],
  ])('takes a change by %s', async (_, headers) => {
    expect((await call('POST', headers as Record<string, string>)).status).toBe(201);
  });

  it('refuses reading by a page of another origin, but not following a link', async () => {
    expectProblem(await call('GET', { origin: 'https://evil.test' }), 403, 'bad_origin');
    expect((await call('GET', { 'sec-fetch-site': 'cross-site', cookie: 'a=b' })).status).toBe(200);
  });

  it('lets an allowed page read the answer, and no other', async () => {
    const { headers } = await call('GET', { origin: 'https://app.example' });
    expect(headers).toMatchObject({ 'access-control-allow-origin': 'https://app.example', vary: 'origin' });
    expect((await call('GET', {})).headers).not.toHaveProperty('access-control-allow-origin');
  });

  it('answers the preflight of an allowed page', async () => {
    const headers = { origin: 'https://app.example', 'access-control-request-method': 'PATCH' };
    const { status, headers: answered } = await world.call('OPTIONS', `/api/batches/${NOBODY}`, { headers });
    expect(status).toBe(204);
    expect(answered['access-control-allow-methods']).toContain('PATCH');
    expectProblem(
      await world.call('OPTIONS', '/api/batches', { headers: { ...headers, origin: 'https://evil.test' } }),
      403,
      'bad_origin',
    );
  });

  it.each([
    ['another origin', 'Origin: https://evil.test\r\n'],
    ['a cookie and no origin', 'Cookie: a=b\r\n'],
    ['another site', 'Sec-Fetch-Site: cross-site\r\n'],
  ])('refuses a WebSocket of %s', async (_, header) => {
    expect(
      await talk(`GET /api/events HTTP/1.1\r\nHost: localhost:${port}\r\n${header}${UPGRADE}\r\n`),
    ).toMatch(/^HTTP\/1.1 403 .*bad_origin/s);
  });

  it('opens a WebSocket of its own page', async () => {
    const socket = connect(port, '127.0.0.1');
    socket.write(
      `GET /api/events HTTP/1.1\r\nHost: localhost:${port}\r\nOrigin: http://localhost:${port}\r\n${UPGRADE}\r\n`,
    );
    const [first] = await Array.fromAsync(firstOf(socket));
    expect(String(first)).toMatch(/^HTTP\/1.1 101 /);
    socket.destroy();
  });
});

async function* firstOf(socket: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const chunk of socket) {
    yield chunk;
    return;
  }
}

describe('addresses and methods', () => {
  it('an address that does not exist: not_found, whatever came with it', async () => {
    for (const url of [
      '/',
      '/api',
      '/api/nothing',
      '/api/batches/',
      '/api/BATCHES',
      '/api/batches/x/y/z',
      '/metrics',
      '/%zz',
      '/api/spaces/other/batches',
    ]) {
      expectProblem(await world.call('GET', url), 404, 'not_found');
      expectProblem(
        await world.call('POST', url, { body: '{', headers: { 'content-type': 'application/json' } }),
        404,
        'not_found',
      );
    }
  });

  it.each([
    ['DELETE', '/api/batches', 'GET, HEAD, POST'],
    ['GET', `/api/batches/${NOBODY}/start`, 'POST'],
    ['POST', `/api/batches/${NOBODY}`, 'DELETE, GET, HEAD, PATCH, PUT'],
    ['PUT', '/api/files', 'POST'],
    ['TRACE', '/healthz', 'GET, HEAD'],
    ['PROPFIND', '/api/spaces/default/batches', 'GET, HEAD, POST'],
    ['OPTIONS', '/api/processors', 'GET, HEAD'],
  ])('%s %s: method_not_allowed, with Allow', async (method, url, allow) => {
    const answer = await world.call(method, url);
    expectProblem(answer, 405, 'method_not_allowed');
    expect(answer.headers.allow).toBe(allow);
  });

  it('a WebSocket where there is none: not_found', async () => {
    expect(await talk(`GET /api/batches HTTP/1.1\r\nHost: localhost\r\n${UPGRADE}\r\n`)).toMatch(
      /^HTTP\/1.1 404 .*not_found/s,
    );
    expectProblem(await world.call('GET', '/api/events'), 404, 'not_found');
  });

  it('an upgrade to something else is answered as the plain request it is', async () => {
    const answer = await talk(
      'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n',
    );
    expect(answer).toMatch(/^HTTP\/1.1 200 /);
  });
});

describe('what is hardly HTTP', () => {
  it('headers over 16 KiB: headers_too_large', async () => {
    const answer = await talk(
      `GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: ${'x'.repeat(17_000)}\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1.1 431 .*application\/problem\+json.*headers_too_large/s);
  });

  it('something else altogether: 400', async () => {
    expect(await talk('hello?\r\n\r\n')).toMatch(/^HTTP\/1.1 400 .*application\/problem\+json/s);
  });

  it('a body that never arrives ends with 408', async () => {
    const head = 'Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 100';
    expect(await talk(`PATCH /api/batches/${NOBODY} HTTP/1.1\r\n${head}\r\n\r\n{"name":`)).toMatch(
      /^HTTP\/1.1 408 .*application\/problem\+json/s,
    );
  });
});

describe('health', () => {
  it('says that the server and its engine are well', async () => {
    expect((await world.call('GET', '/healthz')).json).toEqual({ status: 'ok' });
    expect((await world.call('GET', '/readyz')).json).toEqual({ status: 'ready' });
    const head = await world.call('HEAD', '/healthz');
    expect([head.status, head.text]).toEqual([200, '']);
  });

  it('is not ready when the engine has stopped', async () => {
    const own = await openWorld();
    await own.engine.close({ drain_ms: 0 });
    const answer = await own.call('GET', '/readyz');
    expect(answer.status).toBe(503);
    expect(answer.headers['content-type']).toBe('application/problem+json');
    await own.app.close();
  });

  it('refuses new calls while it goes down, and says when to come again', async () => {
    const own = await openWorld();
    const goingDown = Promise.withResolvers<void>();
    own.app.addHook('preClose', async () => goingDown.resolve());
    const { id } = await own.batch();
    const { port } = await own.listen();
    const arrived = once(own.app.server, 'request');
    const socket = connect(port, '127.0.0.1');
    const head = 'Host: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: 3';
    socket.write(`POST /api/batches/${id}/items HTTP/1.1\r\n${head}\r\n\r\n{`);
    await arrived;
    const closed = own.app.close();
    await goingDown.promise;
    socket.write('}\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const answers = await text(socket);
    expect(answers).toMatch(/^HTTP\/1.1 200 .*"accepted":1.*HTTP\/1.1 503 .*shutting_down/s);
    expect(answers.toLowerCase()).toContain('retry-after: 5');
    await closed;
    await own.engine.close({ drain_ms: 0 });
  });
});
