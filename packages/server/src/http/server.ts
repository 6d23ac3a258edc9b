import { randomUUID } from 'node:crypto';
import multipart from '@fastify/multipart';
import websocket from '@fastify/websocket';
import type { Engine } from '@sheaf/engine';
import { SheafError } from '@sheaf/protocol';
import {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
  LogController,
} from 'fastify';
import { addParsers, MAX_JSON_BYTES } from './body/parsers.ts';
import { answerError, answerErrors } from './error-answers.ts';
import { answerPreflight, createHostGuard, createOriginGuard, isPreflight, isUpgrade } from './guards.ts';
import { createHub } from './live/hub.ts';
import { checkAccept, checkContentType } from './negotiation.ts';
import { notFound } from './problem.ts';
import { addRoutes } from './routes/index.ts';
import { createAddressBook } from './routing.ts';
import { endWhenIdle, limitTime } from './time-limits.ts';
import { refuseClient } from './wire-problem.ts';

export type ServerOptions = {
  engine: Engine;
  /** The address that will be listened on; its name is one that requests may call the server by. @default '127.0.0.1' */
  host?: string;
  /** Other names of this server that a Host header may have. @default [] */
  allowed_hosts?: readonly string[];
  /** Pages of these origins may call the server beside its own. @default [] */
  allowed_origins?: readonly string[];
  /** Of pino: fatal, error, warn, info, debug, trace or silent. The log goes to stderr. @default 'info' */
  log_level?: string;
  /** The largest file an upload may have. @default 10 GiB */
  max_file_bytes?: number;
  /** Longest time for a request that is no upload. @default 30000 */
  request_timeout_ms?: number;
  /** Longest silence within an upload. @default 60000 */
  upload_idle_ms?: number;
};

const GIB = 1_073_741_824;

const MAX_HEADER_BYTES = 16_384;

const SILENCE_MS = 300_000;

/** The longest message of a live connection. */
const MAX_MESSAGE_BYTES = 65_536;

/** Nothing here is for caches, frames, guesses at its type, or other pages to embed. */
const ALWAYS = {
  'cache-control': 'private, no-store',
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
};

/** Routes check what they get themselves. Fastify would load two compilers of schemas, in vain and at length. */
const NO_SCHEMAS = {
  compilersFactory: { buildValidator: noSchema, buildSerializer: noSchema },
};

/**
 * The HTTP server over an engine, ready to listen.
 *
 * The engine stays the caller's: closing the server leaves it open.
 */
export async function createServer(options: ServerOptions): Promise<FastifyInstance> {
  const { request_timeout_ms = 30_000, upload_idle_ms = 60_000 } = options;
  const app = fastify({
    logger: {
      level: options.log_level ?? 'info',
      stream: process.stderr,
      serializers: { req: loggedRequest },
    },
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => randomUUID(),
    bodyLimit: MAX_JSON_BYTES,
    routerOptions: { maxParamLength: 4_096 },
    return503OnClosing: false,
    // Nobody who has neither sent nor taken a byte for this long is still there.
    connectionTimeout: SILENCE_MS,
    clientErrorHandler: refuseClient,
    // Bad addresses go through the same door as all others: the Host is checked first.
    frameworkErrors: (error, request, reply) => refuseAddress(error, request, reply),
    schemaController: NO_SCHEMAS,
    http: {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: request_timeout_ms,
      // An upgrade to anything else (curl offers h2c) is answered as the plain request it also is.
      shouldUpgradeCallback: (request) => request.headers.upgrade?.toLowerCase() === 'websocket',
    },
  });
  const guardHost = createHostGuard([options.host ?? '127.0.0.1', ...(options.allowed_hosts ?? [])]);
  const guardOrigin = createOriginGuard(options.allowed_origins ?? []);
  const addresses = createAddressBook(app);
  const hub = createHub(options.engine);
  let closing = false;

  app.decorate('max_file_bytes', options.max_file_bytes ?? 10 * GIB);
  answerErrors(app);
  // A file over the limit is told where it is read, not with the part behind it.
  await app.register(multipart, { throwFileSizeLimit: false });
  // Before the guards: only what has marked the request as an upgrade closes its socket when it is refused.
  await app.register(websocket, {
    options: { maxPayload: MAX_MESSAGE_BYTES },
    preClose: (done) => {
      hub.close();
      app.websocketServer.close();
      done();
    },
  });
  app.addHook('onRoute', (route) => limitTime(route, request_timeout_ms));
  app.addHook('preClose', async () => {
    closing = true;
  });
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({ ...ALWAYS, 'x-request-id': request.id });
    guardHost(request);
    guardOrigin(request, reply);
    if (isPreflight(request, reply)) return answerPreflight(reply);
    if (closing) throw new SheafError('shutting_down', 'The server is going down.');
    if (isUpgrade(request) && !request.routeOptions.config.is_live) throw notFound();
    if (request.is404) {
      const { error, allow } = addresses.refuse(request.url);
      if (allow.length > 0) reply.header('allow', allow.join(', '));
      throw error;
    }
    checkAccept(request);
    checkContentType(request);
    if (request.routeOptions.config.is_upload) endWhenIdle(request, upload_idle_ms);
  });

  app.addHook('onResponse', async (request, reply) => {
    request.log.debug(
      { req: request, status: reply.statusCode, ms: Math.round(reply.elapsedTime) },
      'answered',
    );
  });

  addParsers(app);
  await app.register(addRoutes, { engine: options.engine, hub });
  return app;

  /** Bad addresses meet no hook, and the Host comes before everything. */
  function refuseAddress(error: Error, request: FastifyRequest, reply: FastifyReply): void {
    reply.headers({ ...ALWAYS, 'x-request-id': request.id });
    try {
      guardHost(request);
      answerError(error, request, reply);
    } catch (badHost) {
      answerError(badHost, request, reply);
    }
  }
}

/** Addresses without their query, which may hold what does not belong into a log. */
function loggedRequest(request: FastifyRequest): { method: string; path: string } {
  return { method: request.method, path: (request.url ?? '').split('?', 1)[0] ?? '' };
}

function noSchema(): never {
  throw new Error('Routes have no schemas of Fastify.');
}
