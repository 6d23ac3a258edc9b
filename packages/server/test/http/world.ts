import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEngine, defineProcessor, type Engine, permanent } from '@sheaf/engine';
import type { FastifyInstance } from 'fastify';
import { expect } from 'vitest';
import { z } from 'zod';
import { createServer, type ServerOptions } from '../../src/http/server.ts';

/** An answer as a test looks at it. `json` is whatever the server said; the test knows what to expect. */
// biome-ignore lint/suspicious/noExplicitAny: the wire is untyped, and asserting on it is the point
export type Answer = { status: number; headers: Record<string, unknown>; json: any; text: string };

export type World = {
  engine: Engine;
  app: FastifyInstance;
  /** Opens when called: items of the `gate` processor end. */
  open(): void;
  call(method: string, url: string, options?: CallOptions): Promise<Answer>;
  /** Makes a batch and answers it. */
  batch(body?: object): Promise<Answer['json']>;
  /** Waits until the batch is over. */
  done(batch: { id: string }): Promise<void>;
  /** Listens on a port of this machine. */
  listen(): Promise<{ url: string; port: number }>;
  close(): Promise<void>;
};

type CallOptions = { json?: unknown; body?: string | Buffer; headers?: Record<string, string> };

/** A server over a real engine in a folder of its own. */
export async function openWorld(options: Omit<ServerOptions, 'engine'> = {}): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'sheaf-http-'));
  const gate = Promise.withResolvers<void>();
  const processors = [writer, strict, unsafe, gated(gate.promise)];
  const engine = await createEngine({ data_dir: folder, processors, concurrency: 4 });
  const app = await createServer({ engine, log_level: 'silent', ...options });
  const world: World = {
    engine,
    app,
    open: gate.resolve,
    call: (method, url, call) => inject(app, method, url, call),
    async batch(body = {}) {
      const { status, json } = await world.call('POST', '/api/batches', {
        json: { processor: 'probe', ...body },
      });
      expect(json).not.toHaveProperty('code');
      expect(status).toBe(201);
      return json;
    },
    async done({ id }) {
      await engine.wait({ batch_id: id, timeout_ms: 10_000, until: 'final' });
    },
    async listen() {
      await app.listen({ host: '127.0.0.1', port: 0 });
      const { port } = app.server.address() as AddressInfo;
      return { url: `http://127.0.0.1:${port}`, port };
    },
    async close() {
      gate.resolve();
      await app.close();
      expect(await engine.checkInvariants()).toEqual([]);
      await engine.close({ drain_ms: 0 });
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return world;
}

async function inject(
  app: FastifyInstance,
  method: string,
  url: string,
  options: CallOptions = {},
): Promise<Answer> {
  const { json, body, headers = {} } = options;
  const response = await app.inject({
    // Any word is a method here: what the server makes of it is tested.
    method: method as 'GET',
    url,
    headers: { ...(json !== undefined && { 'content-type': 'application/json' }), ...headers },
    ...(json !== undefined ? { payload: JSON.stringify(json) } : body !== undefined && { payload: body }),
  });
  const isJson = String(response.headers['content-type'] ?? '').includes('json') && response.body !== '';
  return {
    status: response.statusCode,
    headers: response.headers,
    json: isJson ? parsed(response.body) : null,
    text: response.body,
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // a file that says it is JSON
  }
}

/** Expects a problem with this code, in the form every problem has. */
export function expectProblem(
  { status, headers, json }: Answer,
  expectedStatus: number,
  code: string,
): Answer['json'] {
  expect({ status, code: json?.code }).toEqual({ status: expectedStatus, code });
  expect(headers['content-type']).toBe('application/problem+json');
  expect(json).toMatchObject({
    type: `/docs/errors#${code}`,
    status: expectedStatus,
    title: expect.any(String),
    detail: expect.any(String),
    instance: expect.any(String),
    request_id: headers['x-request-id'],
  });
  return json;
}

/** A form as a browser sends it; a file is a name and its bytes. */
export function form(
  parts: (
    | readonly [name: string, value: string]
    | readonly [name: string, value: string | Buffer, file: string]
  )[],
) {
  const boundary = 'sheaf-test-boundary';
  const bytes = parts.map(([name, value, file]) => {
    const disposition = `Content-Disposition: form-data; name="${name}"${file === undefined ? '' : `; filename="${file}"`}`;
    return Buffer.concat([
      Buffer.from(`--${boundary}\r\n${disposition}\r\n\r\n`),
      Buffer.from(value),
      Buffer.from('\r\n'),
    ]);
  });
  return {
    body: Buffer.concat([...bytes, Buffer.from(`--${boundary}--\r\n`)]),
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
  };
}

/** Waits for something to become true; a test that waits longer than this has failed. */
export async function until(isTrue: () => boolean | Promise<boolean>, ms = 10_000): Promise<void> {
  const deadline = performance.now() + ms;
  while (!(await isTrue())) {
    if (performance.now() > deadline) throw new Error(`It did not become true within ${ms} ms.`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** An id of the right shape that belongs to nothing. */
export const NOBODY = 'bat_01k9cxy8g2e4rr7m5hq0tzvw3a';

/** Writes an output, a log line, a metric and a step for each item. */
const writer = defineProcessor({
  name: 'writer',
  input: z.strictObject({ text: z.string() }),
  async run(item, context) {
    const { writeFile } = await import('node:fs/promises');
    context.progress('writing', 50);
    context.log(`wrote ${item.input.text}`);
    context.metric('letters', item.input.text.length);
    await writeFile(context.output('out put.txt'), item.input.text);
    return { text: item.input.text };
  },
});

/** Wants a number in each input, fails for odd ones. */
const strict = defineProcessor({
  name: 'strict',
  config: z.strictObject({ level: z.int().min(1).max(3).default(1) }),
  input: z.strictObject({ n: z.int() }),
  run({ input }) {
    if (input.n % 2 === 1) throw permanent(`${input.n} is odd`, 'odd');
    return { n: input.n, result_variant_id: `variant-${input.n}` };
  },
});

const unsafe = defineProcessor({ name: 'unsafe', idempotent: false, run: () => null });

function gated(opened: Promise<void>) {
  return defineProcessor({
    name: 'gate',
    async run(_item, { signal }) {
      const aborted = new Promise((_, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason)),
      );
      await Promise.race([opened, aborted]);
      return 'through';
    },
  });
}
