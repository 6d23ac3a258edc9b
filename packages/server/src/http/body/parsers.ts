import { createHash } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { parseJson } from './strict-json.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** sha256 of a JSON body that came with an Idempotency-Key, else empty. */
    body_hash: string;
  }
}

/** The largest JSON body: of calls in general, and of those whose items may carry base64. */
export const MAX_JSON_BYTES = 1_048_576;
export const MAX_ITEMS_JSON_BYTES = 67_108_864;

/** Sets how bodies are read: JSON strictly and whole, NDJSON as the stream it is. */
export function addParsers(app: FastifyInstance): void {
  app.decorateRequest('body_hash', '');
  app.removeContentTypeParser(['application/json', 'text/plain']);
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer' },
    async (request: FastifyRequest, body: Buffer) => {
      if (body.length === 0) return undefined;
      if (request.headers['idempotency-key'] !== undefined) {
        request.body_hash = createHash('sha256').update(body).digest('hex');
      }
      return parseJson(body);
    },
  );
  app.addContentTypeParser('application/x-ndjson', async (_request: unknown, stream: unknown) => stream);
}

/** For addresses that store whatever comes: every type but multipart is bytes. */
export function takeBytes(app: FastifyInstance): void {
  app.removeContentTypeParser(['application/json', 'application/x-ndjson']);
  app.addContentTypeParser('*', async (_request: unknown, stream: unknown) => stream);
}
