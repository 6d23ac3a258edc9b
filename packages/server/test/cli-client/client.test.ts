import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient, type LiveState } from '@sheaf/client';
import { createEngine, type Engine } from '@sheaf/engine';
import { errorCode, isFinal, type SheafEvent, type Wire } from '@sheaf/protocol';
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createServer } from '../../src/http/server.ts';
import { until } from '../cli/sheaf.ts';

let folder: string;
let engine: Engine;
let app: FastifyInstance;
let url: string;

async function serve(port = 0): Promise<void> {
  app = await createServer({ engine, log_level: 'silent' });
  await app.listen({ host: '127.0.0.1', port });
  url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`; // listening on a port, not a path
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sheaf-client-'));
  engine = await createEngine({ data_dir: join(folder, 'data') });
  await serve();
});

afterAll(async () => {
  await app.close();
  await engine.close({ drain_ms: 0 });
  rmSync(folder, { recursive: true, force: true });
});

describe('the client', () => {
  it('makes a batch once for a key, and works on it to its end', async () => {
    const client = createClient({ url });
    const batch = { processor: 'probe', items: [{ input: 1 }, { input: 2 }] };
    const first = await client.create(batch, { idempotency_key: 'once' });
    const second = await client.create(batch, { idempotency_key: 'once' });
    expect([first.created, second.created]).toEqual([true, false]);
    expect(second.batch.id).toBe(first.batch.id);
    await until(async () => isFinal((await client.get(first.batch.id)).status));
    const { data, next } = await client.items(first.batch.id, { status: ['completed'], limit: 1 });
    expect(data.map(({ seq, result }) => ({ seq, result }))).toEqual([{ seq: 1, result: { ok: true } }]);
    const rest = await client.items(first.batch.id, { status: ['completed'], after: next ?? '' });
    expect(rest.data.map(({ seq }) => seq)).toEqual([2]);
    await client.delete(first.batch.id);
    await expect(client.get(first.batch.id)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('throws what the server said: its code, its message, its details', async () => {
    const client = createClient({ url });
    const { batch } = await client.create({ processor: 'probe', items: [{}] });
    await until(async () => isFinal((await client.get(batch.id)).status));
    const error = await client.pause(batch.id).catch((thrown) => thrown);
    expect(errorCode(error)).toBe('wrong_status');
    expect(error.details).toMatchObject({
      current_status: 'completed',
      request_id: expect.any(String),
      status: 409,
    });
    expect(error.details.allowed_actions).toContain('delete');
    await expect(client.create({ processor: 'prob' })).rejects.toMatchObject({ code: 'unknown_processor' });
  });

  it('says in words why a server cannot be reached', async () => {
    const client = createClient({ url: 'http://127.0.0.1:9' });
    const error = await client.list().catch((thrown) => thrown);
    expect(errorCode(error)).toBe('unreachable');
    expect(error.message).toMatch(/^cannot reach http:\/\/127\.0\.0\.1:9 \(/);
  });

  it('makes an error of what is no answer of ours, by its status', async () => {
    const proxy = createHttpServer((request, response) => {
      response.writeHead(request.url?.includes('/list') ? 418 : 502).end('<html>bad gateway</html>');
    }).listen(0, '127.0.0.1');
    await until(() => proxy.listening);
    const client = createClient({ url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}` });
    await expect(client.list()).rejects.toMatchObject({
      code: 'unreachable',
      message: expect.stringMatching(/^502 /),
    });
    proxy.close();
  });

  it('passes on why the caller gave up', async () => {
    const client = createClient({ url });
    const { batch } = await client.create({ processor: 'probe' });
    const gaveUp = new Error('gave up');
    await expect(client.progress(batch.id, { signal: AbortSignal.abort(gaveUp) })).rejects.toBe(gaveUp);
  });

  it.each([
    ['told of each piece', true],
    ['as browsers send it', false],
  ])('uploads files whole and under their own names, %s', async (_how, isTold) => {
    const client = createClient({ url });
    const { batch } = await client.create({ processor: 'probe' });
    const names = [
      'plain.txt',
      'ファイル.png',
      'e\u0301.jpg',
      '🏔️ with spaces.jpg',
      "it's.txt",
      'sub/folder.txt',
      '../up.txt',
    ];
    const bytes = Buffer.alloc(300_000, 7);
    let sent = 0;
    const onBytes = (count: number) => {
      sent += count;
    };
    const files = names.map((name) => ({ name, content: new Blob([bytes, name]) }));
    const { accepted, first_seq } = await client.addFiles(batch.id, files, isTold ? { onBytes } : {});
    expect({ accepted, first_seq }).toEqual({ accepted: names.length, first_seq: 1 });
    if (isTold) expect(sent).toBe(files.reduce((sum, { content }) => sum + content.size, 0));
    const { data } = await client.items(batch.id);
    expect(data.map(({ name }) => name)).toEqual(names.map((name) => name.normalize('NFC')));
    for (const [index, item] of data.entries()) {
      const content = await new Response(await client.content(item.file?.id ?? '')).bytes();
      expect(Buffer.from(content).equals(Buffer.concat([bytes, Buffer.from(names[index] ?? '')]))).toBe(true);
    }
  });

  it('hears live news, and goes on hearing them after the server was away', async () => {
    const client = createClient({ url });
    const { batch } = await client.create({
      processor: 'probe',
      start: false,
      items: [{}],
      config: { wait_ms: 50 },
    });
    const events: Wire<SheafEvent>[] = [];
    const states: LiveState[] = [];
    let resyncs = 0;
    const live = client.live({
      topics: [{ topic: `batch:${batch.id}`, since: batch.event_seq }],
      onEvent: (event) => events.push(event),
      onState: (state) => states.push(state),
      onResync: () => {
        resyncs += 1;
      },
    });
    const statuses = () => events.flatMap((event) => (event.type === 'batch_status' ? [event.status] : []));
    await until(() => states.includes('live'));
    await client.start(batch.id);
    await until(
      () => statuses().includes('completed'),
      () => JSON.stringify(events),
    );

    const { port } = app.server.address() as AddressInfo;
    await app.close();
    await until(() => states.includes('reconnecting'));
    // Said while nobody could hear it.
    await engine.update({ batch_id: batch.id, fields: { name: 'renamed' } });
    await serve(port);
    await until(
      () => events.some((event) => event.type === 'batch_changed'),
      () => JSON.stringify(events),
    );
    expect(resyncs).toBeGreaterThan(0);
    // Stored events come once each and in their order.
    const stored = events.flatMap((event) => ('at' in event ? [event.seq] : []));
    expect(stored).toEqual([...new Set(stored)].sort((a, b) => a - b));
    live.close();
  });
});
