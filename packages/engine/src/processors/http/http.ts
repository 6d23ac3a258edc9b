import { errorCode, MAX_ITEM_JSON_BYTES } from '@sheaf/protocol';
import { z } from 'zod';
import { defineProcessor, permanent, retryAfter } from '../../define-processor.ts';
import type { Processor, WorkItem } from '../../ports/processor.ts';
import { parseTemplate, placeholderValue, textOf } from '../placeholders.ts';
import { type Answer, type Call, type Connections, callUrl, openConnections } from './request.ts';
import { createResolver, type Lookup } from './resolver.ts';

/** Headers that belong to the connection, not to the caller. */
const OWN_HEADERS = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'upgrade',
  'expect',
  'te',
  'trailer',
]);

const template = z
  .string()
  .max(65_536)
  .superRefine((text, context) => {
    try {
      parseTemplate(text, { outputs: false });
    } catch (error) {
      if (errorCode(error) !== 'bad_config' || !(error instanceof Error)) throw error;
      context.addIssue({ code: 'custom', message: error.message });
    }
  });

const config = z.strictObject({
  url: template.describe('The address; placeholders are percent-encoded, unless they are all of it.'),
  method: z.enum(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']).default('GET'),
  headers: z
    .record(z.string().regex(/^[A-Za-z0-9-]{1,100}$/), template)
    .refine((headers) => !Object.keys(headers).some((name) => OWN_HEADERS.has(name.toLowerCase())), {
      message: `These headers are set by the connection: ${[...OWN_HEADERS].join(', ')}.`,
    })
    .default({}),
  body: z.json().optional().describe('JSON with placeholders in its texts; a text is sent as it is.'),
  expect_status: z.array(z.int().min(100).max(599)).min(1).optional().describe('Default: 200–299.'),
  timeout_ms: z.int().min(1).max(3_600_000).default(30_000),
});

type HttpConfig = z.infer<typeof config>;

export type HttpOptions = {
  /** @default 'http' */
  name?: string;
  /**
   * Hosts (`name` or `name:port`) that may be called although they are not public, as the operator's
   * own services. Whoever may create batches can call them with any path and method.
   *
   * @default []
   */
  allow_hosts?: readonly string[];
  /** How names become addresses. @default the system's own way */
  lookup?: Lookup;
};

/**
 * Makes the processor that calls a URL for each item. Only public addresses are called, but for
 * those the operator allows; redirects are checked the same way.
 *
 * The result is `{ status, body }`, the body as JSON when it says so, at most 256 KiB. 429 and 503
 * wait as long as `Retry-After` asks; other 5xx, 408 and 425 are retried, other answers are
 * permanent failures `http_404`. Calls other than GET carry an `Idempotency-Key` that is the same at
 * each attempt.
 */
export function defineHttp(options: HttpOptions = {}): Processor<HttpConfig, unknown> {
  const resolve = createResolver(options.allow_hosts ?? [], options.lookup);
  let connections: Connections | null = null;
  return defineProcessor({
    name: options.name ?? 'http',
    description: 'Calls a URL for each item.',
    config,
    input: z.json(),
    isolation: 'inline',
    async run(given, context) {
      // Intake has checked the input as JSON.
      const item = given as WorkItem;
      const { timeout_ms, expect_status } = context.config;
      const call = callOf(context.config, item);
      connections ??= openConnections();
      const timeout = AbortSignal.timeout(timeout_ms);
      const signal = AbortSignal.any([context.signal, timeout]);
      try {
        const answer = await callUrl(call, { resolve, connections, max_bytes: MAX_ITEM_JSON_BYTES, signal });
        checkStatus(answer, expect_status);
        return { status: answer.status, body: bodyOf(answer) };
      } catch (error) {
        if (!timeout.aborted || context.signal.aborted) throw error;
        throw Object.assign(new Error(`${call.url.href} did not answer within ${timeout_ms} ms.`), {
          code: 'http_timeout',
        });
      }
    },
  });
}

function callOf({ url, method, headers, body }: HttpConfig, item: WorkItem): Call {
  const filled: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) filled[name] = fillText(value, item);
  const has = (name: string) => Object.keys(filled).some((each) => each.toLowerCase() === name);
  if (method !== 'GET' && method !== 'HEAD' && !has('idempotency-key')) {
    filled['idempotency-key'] = `${item.batch_id}/${item.seq}`;
  }
  if (body !== undefined && typeof body !== 'string' && !has('content-type'))
    filled['content-type'] = 'application/json';
  if (!has('accept-encoding')) filled['accept-encoding'] = 'identity';
  if (Object.values(filled).some((value) => !/^[\t\x20-\x7e\x80-\xff]*$/.test(value))) {
    throw permanent('A header would hold a line end or another character that headers cannot.', 'bad_input');
  }
  return { url: fillUrl(url, item), method, headers: filled, body: fillBody(body, item) };
}

function fillUrl(text: string, item: WorkItem): URL {
  const parts = parseTemplate(text, { outputs: false });
  const isWhole = parts.length === 1;
  const filled = parts.map((part) => {
    if (typeof part === 'string') return part;
    const value = textOf(placeholderValue(part, item));
    // As a path segment of its own these would climb; percent-encoding does not stop them.
    if (!isWhole && (value === '.' || value === '..')) {
      throw permanent(`${part.text} is "${value}", which would lead to another address.`, 'bad_input');
    }
    return isWhole ? value : encodeURIComponent(value.toWellFormed());
  });
  const url = URL.parse(filled.join(''));
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw permanent(`"${filled.join('').slice(0, 200)}" is not an http or https address.`, 'bad_input');
  }
  return url;
}

function fillText(text: string, item: WorkItem): string {
  return parseTemplate(text, { outputs: false })
    .map((part) => (typeof part === 'string' ? part : textOf(placeholderValue(part, item))))
    .join('');
}

function fillBody(body: HttpConfig['body'], item: WorkItem): string | null {
  if (body === undefined) return null;
  return typeof body === 'string' ? fillText(body, item) : JSON.stringify(fillJson(body, item));
}

/** A text that is one placeholder becomes its value, of whatever type; others stay texts. */
function fillJson(value: unknown, item: WorkItem): unknown {
  if (typeof value === 'string') {
    const [only, ...more] = parseTemplate(value, { outputs: false });
    return typeof only === 'object' && more.length === 0
      ? placeholderValue(only, item)
      : fillText(value, item);
  }
  if (Array.isArray(value)) return value.map((inner) => fillJson(inner, item));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, fillJson(inner, item)]));
}

function checkStatus({ status, headers, url }: Answer, expected: readonly number[] | undefined): void {
  if (expected === undefined ? status >= 200 && status < 300 : expected.includes(status)) return;
  const message = `${url.origin}${url.pathname} answered ${status}.`;
  const code = `http_${status}`;
  const wait = retryAfterMs(headers['retry-after']);
  if ((status === 429 || status === 503) && wait !== null) throw retryAfter(wait, message, code);
  if (status >= 500 || status === 408 || status === 425 || status === 429) {
    throw Object.assign(new Error(message), { code });
  }
  throw permanent(message, code);
}

/** Seconds, or a date. */
function retryAfterMs(header: string | undefined): number | null {
  if (header === undefined) return null;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1_000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? null : Math.max(0, at - Date.now());
}

function bodyOf({ headers, body }: Answer): unknown {
  const text = body.toString('utf8');
  if (!/^application\/(?:[\w.-]+\+)?json\b/i.test(headers['content-type'] ?? '')) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
