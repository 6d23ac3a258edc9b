import { SheafError } from '@sheaf/protocol';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** Names of this machine to itself; a page of another name has no business here (DNS rebinding). */
const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Refuses requests whose Host is not a name of this server, with any port. */
export function createHostGuard(names: readonly string[]): (request: FastifyRequest) => void {
  const known = new Set([...LOOPBACK, ...names.map((name) => name.toLowerCase())]);
  return (request) => {
    const { host } = request.headers;
    if (host !== undefined && known.has(withoutPort(host.toLowerCase()))) return;
    throw new SheafError('bad_host', 'The Host header is not a name of this server; see allowed_hosts.');
  };
}

function withoutPort(host: string): string {
  return host.replace(/:\d{1,5}$/, '');
}

/**
 * Refuses what a page of another origin sent, and answers the preflight of an allowed one.
 *
 * Browsers say where a request comes from in `Sec-Fetch-Site`, older ones in `Origin`. A request with
 * neither does not come from a page, unless it carries a cookie. Reading is refused by `Origin` alone:
 * following a link from another page is no attack.
 */
export function createOriginGuard(allowed: readonly string[]) {
  const origins = new Set(allowed);
  return (request: FastifyRequest, reply: FastifyReply): void => {
    const { origin } = request.headers;
    const isAllowed = origin !== undefined && origins.has(origin);
    if (isAllowed) allowOrigin(reply, origin);
    else if (!isSameSite(request)) {
      throw new SheafError(
        'bad_origin',
        'Pages of this origin may not call this server; see allowed_origins.',
      );
    }
  };
}

function isSameSite(request: FastifyRequest): boolean {
  const { origin, host, cookie, 'sec-fetch-site': site } = request.headers;
  if (site === 'same-origin' || site === 'none') return true;
  if (origin !== undefined) return hostOf(origin) === host?.toLowerCase();
  if (SAFE_METHODS.has(request.method) && !isUpgrade(request)) return true;
  return site === undefined && cookie === undefined;
}

function hostOf(origin: string): string | null {
  try {
    return new URL(origin).host;
  } catch {
    return null; // `null`, the origin of sandboxed pages and local files
  }
}

function allowOrigin(reply: FastifyReply, origin: string): void {
  reply.header('access-control-allow-origin', origin);
  reply.header('access-control-expose-headers', 'location, x-request-id, etag, content-range');
  reply.header('vary', 'origin');
}

/** Whether this asks, for an allowed origin, if it may send the real request. */
export function isPreflight(request: FastifyRequest, reply: FastifyReply): boolean {
  return (
    request.method === 'OPTIONS' &&
    request.headers['access-control-request-method'] !== undefined &&
    reply.hasHeader('access-control-allow-origin')
  );
}

export function answerPreflight(reply: FastifyReply): FastifyReply {
  return reply
    .header('access-control-allow-methods', 'GET, HEAD, POST, PUT, PATCH, DELETE')
    .header('access-control-allow-headers', 'content-type, idempotency-key, range, if-range, if-none-match')
    .header('access-control-max-age', '600')
    .code(204)
    .send();
}

/** Whether the client wants to open a WebSocket. */
export function isUpgrade(request: FastifyRequest): boolean {
  return request.headers.upgrade?.toLowerCase() === 'websocket';
}
