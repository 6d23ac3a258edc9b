import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { createS3Files, type S3Files } from '../src/adapters/files-s3/s3-files.ts';
import { filesContract } from '../src/testing/contracts/files.contract.ts';
import {
  type Exchange,
  type Fault,
  type FaultyProxy,
  startFaultyProxy,
} from '../src/testing/faulty-proxy.ts';
import { openTemporaryBucket, type TemporaryBucket } from '../src/testing/temporary-bucket.ts';

filesContract('s3', async () => {
  const bucket = await openTemporaryBucket();
  const files = createS3Files({ place: bucket.url, credentials: bucket.credentials });
  return {
    files,
    async close() {
      await files.close();
      await bucket.close();
    },
  };
});

/** Three parts. */
const MANY_PARTS = 16 * 1024 * 1024 + 1_000;

describe('Files: s3, when things go wrong', () => {
  let server: TemporaryBucket;
  let proxy: FaultyProxy;
  let folder: string;
  let files: S3Files;
  let prefix: string;

  beforeAll(async () => {
    server = await openTemporaryBucket();
  });
  afterAll(() => server.close());
  beforeEach(async () => {
    proxy = await startFaultyProxy(server.endpoint);
    folder = await mkdtemp(join(tmpdir(), 'sheaf-s3-test-'));
    prefix = `tests/${randomUUID()}`;
    files = open();
  });
  afterEach(async () => {
    await files.close();
    await proxy.close();
    await rm(folder, { recursive: true, force: true });
  });

  function open(options: { timeout_ms?: number; cache_bytes?: number } = {}): S3Files {
    const place = { bucket: server.bucket, prefix, endpoint: proxy.endpoint };
    return createS3Files({ place, credentials: server.credentials, cache_dir: folder, ...options });
  }

  /** The first `times` requests that match meet the fault. */
  function fail(fault: Fault, matches: (exchange: Exchange) => boolean, times = Number.POSITIVE_INFINITY) {
    let left = times;
    proxy.plan = (exchange) => {
      if (left === 0 || !matches(exchange)) return null;
      left -= 1;
      return fault;
    };
  }

  const gets = ({ method }: Exchange) => method === 'GET';
  const puts = ({ method }: Exchange) => method === 'PUT';

  async function stored(size = 300_000): Promise<{ id: string; bytes: Buffer }> {
    const bytes = randomBytes(size);
    return { id: (await files.put('default', Readable.from([bytes]))).sha256, bytes };
  }

  async function readWhole(id: string): Promise<Buffer> {
    return Buffer.concat(await (await files.open('default', id)).toArray());
  }

  test.each([
    ['503 SlowDown', { kind: 'answer', status: 503, body: xml('SlowDown') }],
    ['500 InternalError', { kind: 'answer', status: 500, body: xml('InternalError') }],
    ['a connection that breaks', { kind: 'reset', done: false }],
    ['an answer that gets lost', { kind: 'reset', done: true }],
  ] satisfies [string, Fault][])('goes on after %s', async (_name, fault) => {
    fail(fault, () => true, 2);
    const { id, bytes } = await stored();
    fail(fault, () => true, 2);
    expect((await readWhole(id)).equals(bytes)).toBe(true);
    fail(fault, () => true, 2);
    await files.remove('default', id);
    expect(await files.size('default', id)).toBeNull();
  });

  test('sends a part again that was refused, and keeps the whole', async () => {
    fail(
      { kind: 'answer', status: 503, body: xml('SlowDown') },
      ({ path }) => path.includes('partNumber=2'),
      2,
    );
    const { id, bytes } = await stored(MANY_PARTS);
    expect((await readWhole(id)).equals(bytes)).toBe(true);
  });

  test('takes parts as put together when only the answer to that got lost', async () => {
    fail(
      { kind: 'reset', done: true },
      ({ method, path }) => method === 'POST' && path.includes('uploadId='),
      1,
    );
    const { id, bytes } = await stored(MANY_PARTS);
    expect((await readWhole(id)).equals(bytes)).toBe(true);
  });

  test('shows nothing of parts that were never put together, and drops them', async () => {
    const refused = ({ path }: Exchange) => path.includes('partNumber=3');
    fail({ kind: 'answer', status: 403, body: xml('AccessDenied') }, refused);
    await expect(stored(MANY_PARTS)).rejects.toMatchObject({ code: 'bad_config' });
    expect(await Array.fromAsync(files.list('default'))).toEqual([]);
    expect(proxy.seen.some(({ method, path }) => method === 'DELETE' && path.includes('uploadId='))).toBe(
      true,
    );
    expect(await readdir(join(folder, 's3'))).toEqual([]);
  });

  test('does not send large bytes again that are there', async () => {
    const { bytes } = await stored(MANY_PARTS);
    const before = proxy.seen.length;
    await files.put('default', Readable.from([bytes]));
    expect(proxy.seen.slice(before).map(({ method }) => method)).toEqual(['HEAD']);
  });

  test('reads on where a connection broke, so that nobody notices', async () => {
    const { id, bytes } = await stored(3_000_000);
    // More breaks than it would take without a byte in between.
    fail({ kind: 'cut', at: 200_000 }, gets, 7);
    expect((await readWhole(id)).equals(bytes)).toBe(true);
    const ranges = proxy.seen.filter(gets).map(({ headers }) => headers.range);
    expect(ranges[0]).toBeUndefined();
    expect(ranges.slice(1).every((range) => /^bytes=\d+-2999999$/.test(range ?? ''))).toBe(true);
    expect(ranges.length).toBeGreaterThan(1);
  });

  test('reads on where a server fell silent', async () => {
    const { id, bytes } = await stored(3_000_000);
    await files.close();
    files = open({ timeout_ms: 300 });
    fail({ kind: 'silent', at: 700_000 }, gets, 2);
    expect((await readWhole(id)).equals(bytes)).toBe(true);
  });

  test('gives up on a body that never gets further, and says so', async () => {
    const { id } = await stored();
    fail({ kind: 'cut', at: 0 }, gets);
    await expect(readWhole(id)).rejects.toMatchObject({ code: 'store_unavailable' });
  });

  test.each([
    ['a flipped byte', { kind: 'flip', at: 1_234 }],
    ['a flipped last byte', { kind: 'flip', at: 299_999 }],
    ['an object that was cut short', { kind: 'short', at: 299_999 }],
    ['an empty object in its place', { kind: 'short', at: 0 }],
  ] satisfies [string, Fault][])('ends with an error, never as a whole file: %s', async (_name, fault) => {
    const { id, bytes } = await stored();
    fail(fault, gets);
    let read = 0;
    const reading = (async () => {
      for await (const chunk of await files.open('default', id)) read += chunk.length;
    })();
    await expect(reading).rejects.toThrow(/damaged/);
    expect(read).toBeLessThan(bytes.length);
    await expect(files.local('default', id)).rejects.toThrow(/damaged/);
    expect(await readdir(join(folder, 's3'))).toEqual([]);
  });

  test('downloads a copy a second time when the first one was damaged on its way', async () => {
    const { id, bytes } = await stored();
    fail({ kind: 'flip', at: 5 }, gets, 1);
    const { path } = await files.local('default', id);
    expect((await readFile(path)).equals(bytes)).toBe(true);
  });

  test('refuses the whole when it asked for a range', async () => {
    const { id } = await stored();
    fail({ kind: 'change', headers: { range: undefined } }, gets);
    await expect(files.open('default', id, { start: 5, end: 9 })).rejects.toThrow(/range/);
  });

  test.each([
    [403, 'AccessDenied', 'bad_config'],
    [403, 'SignatureDoesNotMatch', 'bad_config'],
    [404, 'NoSuchBucket', 'bad_config'],
    [301, 'PermanentRedirect', 'bad_config'],
    [507, 'XMinioStorageFull', 'storage_full'],
  ])('calls %i %s %s, at once', async (status, name, code) => {
    fail({ kind: 'answer', status, body: xml(name) }, () => true);
    const path = join(folder, 'output');
    await writeFile(path, 'x');
    const problem = await files.adopt('default', path).catch((error: unknown) => error);
    expect(problem).toMatchObject({ code });
    expect(String(problem)).toContain(server.bucket);
    expect(proxy.seen.filter(puts)).toHaveLength(1);
    // What could not be stored is not lost either.
    expect(existsSync(path)).toBe(true);
  });

  test('is unavailable, not broken, when a server refuses for long or nobody is there', async () => {
    fail({ kind: 'answer', status: 503, body: xml('SlowDown') }, () => true);
    const problem = await files.size('default', '0'.repeat(64)).catch((error: unknown) => error);
    expect(problem).toMatchObject({ code: 'store_unavailable' });
    await proxy.close();
    await expect(files.put('default', Readable.from(['x']))).rejects.toMatchObject({
      code: 'store_unavailable',
    });
  });

  test('does not wait forever for an answer', async () => {
    await files.close();
    files = open({ timeout_ms: 100 });
    const { id } = await stored();
    fail({ kind: 'silent', at: 0 }, ({ method }) => method === 'HEAD');
    // The head of the answer is not sent before its body.
    await expect(files.size('default', id)).rejects.toMatchObject({ code: 'store_unavailable' });
  });

  test('never says its keys', async () => {
    fail({ kind: 'answer', status: 403, body: xml('AccessDenied') }, () => true);
    const problem = await files.put('default', Readable.from(['x'])).catch((error: unknown) => error);
    expect(JSON.stringify(problem, Object.getOwnPropertyNames(problem))).not.toContain('test-secret');
    expect(String(problem)).not.toContain('test-secret');
  });

  test('takes its keys from the environment when it is given none', async () => {
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'FROMENVIRONMENT');
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'from-environment');
    const place = { bucket: server.bucket, endpoint: proxy.endpoint };
    const others = createS3Files({ place });
    await others.put('default', Readable.from(['x']));
    expect(proxy.seen.at(-1)?.headers.authorization).toContain('FROMENVIRONMENT');
    await others.close();
    vi.unstubAllEnvs();
  });

  test('lists page by page', async () => {
    const ids: string[] = [];
    for (let n = 0; n < 7; n++) ids.push((await stored(n + 1)).id);
    proxy.plan = ({ path }) =>
      path.includes('list-type') ? { kind: 'change', path: `${path}&max-keys=3` } : null;
    const listed = await Array.fromAsync(files.list('default'));
    expect(listed.map(({ sha256 }) => sha256)).toEqual(expect.arrayContaining(ids));
    expect(proxy.seen.filter(({ path }) => path.includes('list-type')).length).toBeGreaterThan(2);
  });

  test('refuses a file that grows while it is sent', async () => {
    const path = join(folder, 'growing');
    await writeFile(path, randomBytes(MANY_PARTS));
    proxy.plan = ({ path: asked }) => {
      // Between the sum and the last part.
      if (asked.includes('uploads')) void appendFile(path, 'more');
      return null;
    };
    await expect(files.adopt('default', path)).rejects.toMatchObject({ code: 'invalid' });
    expect(existsSync(path)).toBe(true);
    expect(await Array.fromAsync(files.list('default'))).toEqual([]);
  });

  test('lends one copy to all, keeps it for the next, and makes room for others', async () => {
    await files.close();
    files = open({ cache_bytes: 250 });
    const [a, b, c] = [await stored(100), await stored(101), await stored(102)];
    const lent = await Promise.all([1, 2, 3].map(() => files.local('default', a.id)));
    expect(new Set(lent.map(({ path }) => path)).size).toBe(1);
    await Promise.all(lent.map(({ release }) => release()));
    await (await files.local('default', a.id)).release();
    expect(proxy.seen.filter(gets)).toHaveLength(1);

    const held = await files.local('default', b.id);
    await (await files.local('default', c.id)).release();
    const kept = await readdir(join(folder, 's3'));
    expect(kept).toHaveLength(2);
    expect((await readFile(held.path)).equals(b.bytes)).toBe(true);
    await held.release();
  });

  test('lends no copy of what was removed, nor one that somebody deleted', async () => {
    const { id, bytes } = await stored();
    const first = await files.local('default', id);
    await rm(first.path);
    const second = await files.local('default', id);
    expect((await readFile(second.path)).equals(bytes)).toBe(true);
    await first.release();
    await second.release();
    await files.remove('default', id);
    await expect(files.local('default', id)).rejects.toMatchObject({ code: 'not_found' });
    expect(await readdir(join(folder, 's3'))).toEqual([]);
  });

  test('empties its folder at the start and leaves nothing at the end', async () => {
    await writeFile(join(folder, 's3', 'half'), 'hal');
    await files.close();
    files = open();
    expect(await readdir(join(folder, 's3'))).toEqual([]);
    await files.close();
    expect(await readdir(folder)).toEqual([]);
  });

  test('ends the connection of a reader that leaves', async () => {
    const { id } = await stored(3_000_000);
    fail({ kind: 'silent', at: 500_000 }, gets);
    const stream = await files.open('default', id);
    for await (const _ of stream) break;
    expect(stream.destroyed).toBe(true);
    expect(proxy.seen.filter(gets)).toHaveLength(1);
  });

  test('gives a removal up, so that it cannot come after what is stored anew', async () => {
    const { id } = await stored();
    fail({ kind: 'silent', at: 0 }, ({ method }) => method === 'DELETE');
    const timeout = AbortSignal.timeout;
    const asked = vi.spyOn(AbortSignal, 'timeout').mockImplementation(() => timeout.call(AbortSignal, 200));
    await expect(files.remove('default', id)).rejects.toMatchObject({ code: 'store_unavailable' });
    expect(asked).toHaveBeenCalledWith(30_000);
    asked.mockRestore();
  });

  test('drops only the uploads that were broken off long ago', async () => {
    const body = `<ListMultipartUploadsResult><Upload><Key>files/a</Key><UploadId>old</UploadId>
      <Initiated>2026-01-01T00:00:00.000Z</Initiated></Upload><Upload><Key>files/b</Key><UploadId>new</UploadId>
      <Initiated>2026-01-02T23:00:00.000Z</Initiated></Upload></ListMultipartUploadsResult>`;
    proxy.plan = ({ method }) =>
      method === 'GET' ? { kind: 'answer', status: 200, body } : { kind: 'answer', status: 204, body: '' };
    expect(await files.removeStaleUploads(Date.parse('2026-01-03T00:00:00.000Z'))).toBe(1);
    const aborted = proxy.seen.filter(({ method }) => method === 'DELETE');
    expect(aborted.map(({ path }) => path)).toEqual([expect.stringContaining('uploadId=old')]);
  });

  describe('checkBucket', () => {
    test('is content with a good bucket, and leaves nothing there', async () => {
      await files.checkBucket();
      const objects = await fetch(`${server.endpoint}/${server.bucket}?list-type=2&prefix=${prefix}/.probe`);
      expect(await objects.text()).not.toContain('<Key>');
    });

    test.each([
      ['s3:PutObject', ({ method }: Exchange) => method === 'PUT'],
      ['s3:GetObject', ({ method, path }: Exchange) => method === 'GET' && !path.includes('list-type')],
      ['s3:GetObject', ({ headers }: Exchange) => headers.range !== undefined],
      ['s3:ListBucket', ({ path }: Exchange) => path.includes('list-type')],
      ['s3:ListBucket', ({ method }: Exchange) => method === 'HEAD'],
      ['s3:AbortMultipartUpload', ({ path }: Exchange) => path.includes('uploadId=')],
      ['s3:DeleteObject', ({ method, path }: Exchange) => method === 'DELETE' && !path.includes('uploadId=')],
    ])('names a missing right: %s', async (right, matches) => {
      fail({ kind: 'answer', status: 403, body: xml('AccessDenied') }, matches);
      const problem = await files.checkBucket().catch((error: unknown) => error);
      expect(problem).toMatchObject({ code: 'bad_config', details: { right } });
      expect(String(problem)).toContain(right);
    });

    test('finds a server that ignores ranges', async () => {
      fail({ kind: 'change', headers: { range: undefined } }, gets);
      await expect(files.checkBucket()).rejects.toThrow(/range/);
    });

    test('finds a bucket that is not there', async () => {
      const place = { bucket: 'not-there', endpoint: server.endpoint };
      const others = createS3Files({ place, credentials: server.credentials });
      await expect(others.checkBucket()).rejects.toThrow(/There is no bucket s3:\/\/not-there/);
      await others.close();
    });
  });
});

function xml(code: string): string {
  return `<?xml version="1.0"?><Error><Code>${code}</Code><Message>As the test wants it.</Message></Error>`;
}
