import { Socket } from 'node:net';
import { ERRORS } from '@sheaf/protocol';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { codeOf, problemOf } from './problem.ts';
import { refuseSocket } from './wire-problem.ts';

/** A client that goes on sending after its answer gets this long to notice. */
const LINGER_MS = 5_000;

/** Makes every error of the server a problem+json. */
export function answerErrors(app: FastifyInstance): void {
  app.setErrorHandler(answerError);
  app.setNotFoundHandler((request, reply) => answerError({ code: 'not_found' }, request, reply));
  app.addHook('onResponse', async (request) => {
    const { socket, complete } = request.raw;
    if (complete || !(socket instanceof Socket)) return;
    // The rest of a refused body is read and forgotten, so that the answer is not lost to a reset; but
    // nobody has to take gigabytes for it.
    const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref();
    request.raw.once('close', () => clearTimeout(timer)).resume();
  });
}

export function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  if (isSlowBody(error, request)) {
    reply.hijack();
    refuseSocket(request.raw.socket, 408);
    return;
  }
  const code = codeOf(error);
  const { status, retryable } = ERRORS[code];
  if (hasLeft(request)) request.log.info({ req: request }, 'a client left before its answer');
  else if (status === 500) request.log.error({ err: error }, 'a request failed by a mistake of ours');
  else if (status > 500) request.log.warn({ err: error }, 'a request could not be served');
  if (status === 503 && retryable) reply.header('retry-after', '5');
  const problem = problemOf(error, { id: request.id, path: request.url.split('?', 1)[0] ?? '' });
  // As bytes: to a text Fastify would add a charset, which this media type does not have.
  reply
    .code(status)
    .header('content-type', 'application/problem+json')
    .send(Buffer.from(JSON.stringify(problem)));
}

/** Whether nobody is there to be answered: an error is then no more than that. */
function hasLeft({ raw }: FastifyRequest): boolean {
  return raw.socket instanceof Socket && raw.socket.destroyed;
}

/** Whether the time was up before the client had sent its body: its fault, not ours. */
function isSlowBody(error: unknown, request: FastifyRequest): boolean {
  const isTimeout =
    typeof error === 'object' &&
    error !== null &&
    'code' in error &&
    error.code === 'FST_ERR_HANDLER_TIMEOUT';
  return isTimeout && request.raw.socket instanceof Socket && !request.raw.complete;
}
