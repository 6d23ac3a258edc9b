import {
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { LookupFunction } from 'node:net';
import { permanent } from '../../define-processor.ts';
import type { Address } from './resolver.ts';

const MAX_HOPS = 3;

export type Call = { url: URL; method: string; headers: Record<string, string>; body: string | null };
export type Answer = { status: number; headers: IncomingMessage['headers']; body: Buffer; url: URL };
export type Connections = { http: HttpAgent; https: HttpsAgent };

export function openConnections(): Connections {
  return { http: new HttpAgent({ keepAlive: true }), https: new HttpsAgent({ keepAlive: true }) };
}

/**
 * Calls a URL and follows up to three redirects, each of them checked like the first address.
 * Credentials do not go along to another origin.
 *
 * @throws A permanent `response_too_large` past the limit; `too_many_redirects`; whatever the
 *   network throws.
 */
export async function callUrl(
  first: Call,
  options: {
    resolve: (url: URL) => Promise<readonly Address[]>;
    connections: Connections;
    max_bytes: number;
    signal: AbortSignal;
  },
): Promise<Answer> {
  let call = first;
  for (let hop = 0; hop <= MAX_HOPS; hop++) {
    const answer = await callOnce(call, await options.resolve(call.url), options);
    const { location } = answer.headers;
    if (![301, 302, 303, 307, 308].includes(answer.status) || location === undefined) return answer;
    call = redirected(call, answer.status, location);
  }
  throw permanent(`${first.url.href} redirects more than ${MAX_HOPS} times.`, 'too_many_redirects');
}

function callOnce(
  { url, method, headers, body }: Call,
  addresses: readonly Address[],
  { connections, max_bytes, signal }: { connections: Connections; max_bytes: number; signal: AbortSignal },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const isSecure = url.protocol === 'https:';
    const options: RequestOptions = {
      method,
      headers: { ...headers, ...(body === null ? {} : { 'content-length': Buffer.byteLength(body) }) },
      agent: isSecure ? connections.https : connections.http,
      lookup: pinned(addresses),
      signal,
    };
    const request = (isSecure ? httpsRequest : httpRequest)(url, options, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        chunks.push(chunk);
        if (bytes > max_bytes) {
          response.destroy(
            permanent(`${url.href} answered with more than ${max_bytes} bytes.`, 'response_too_large'),
          );
        }
      });
      response.on('error', reject);
      response.on('end', () => {
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks),
          url,
        });
      });
    });
    request.on('error', reject);
    request.end(body ?? undefined);
  });
}

/** Answers with the checked addresses, whatever the name says by now. */
function pinned(addresses: readonly Address[]): LookupFunction {
  return (_host, { all }, callback) => {
    const [first] = addresses;
    if (all === true) callback(null, [...addresses]);
    else if (first !== undefined) callback(null, first.address, first.family);
  };
}

function redirected({ url, method, headers, body }: Call, status: number, location: string): Call {
  const next = URL.parse(location, url.href);
  if (next === null || !/^https?:$/.test(next.protocol)) {
    throw permanent(
      `${url.href} redirects to "${location.slice(0, 200)}", which cannot be called.`,
      'bad_redirect',
    );
  }
  const isGet = status === 303 || (method === 'POST' && (status === 301 || status === 302));
  const isElsewhere = next.origin !== url.origin;
  const dropped = new Set([
    ...(isElsewhere ? ['authorization', 'cookie', 'proxy-authorization', 'x-api-key'] : []),
    ...(isGet ? ['content-type'] : []),
  ]);
  return {
    url: next,
    method: isGet && method !== 'HEAD' ? 'GET' : method,
    headers: Object.fromEntries(Object.entries(headers).filter(([name]) => !dropped.has(name.toLowerCase()))),
    body: isGet ? null : body,
  };
}
