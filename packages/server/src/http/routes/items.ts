import { toWire } from '@sheaf/protocol';
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { MAX_ITEMS_JSON_BYTES } from '../body/parsers.ts';
import { defined, itemTargetOf, optionalBodyOf, paramOf, targetOf } from '../call.ts';
import { decodeCursor, encodeCursor } from '../cursor.ts';
import { sendFile } from '../download.ts';
import { appendBody } from '../intake/append.ts';
import { notFound } from '../problem.ts';
import { itemLogsQuery, listItemsQuery, noQuery, parseQuery } from '../query.ts';
import { logPage } from './batches.ts';
import type { Backend } from './index.ts';

const nothing = z.strictObject({});

/** The items of a batch: adding, reading, removing, retrying. */
export function addItemRoutes(app: FastifyInstance, { engine }: Backend): void {
  app.post(
    '/:batch_id/items',
    { bodyLimit: MAX_ITEMS_JSON_BYTES, config: { takes: ['json', 'multipart', 'ndjson'], is_upload: true } },
    async (request) => {
      const target = targetOf(request);
      // Before anything of a long body is read.
      await engine.get(target);
      const { batch, accepted, first_seq } = await appendBody(engine, target, request);
      return { accepted, first_seq, batch: toWire(batch) };
    },
  );
  app.get('/:batch_id/items', async (request) => {
    const { after, ...query } = parseQuery(listItemsQuery, request.query);
    const target = targetOf(request);
    const list = `items ${target.batch_id}`;
    const from = after === undefined ? 0 : decodeCursor(list, after);
    const { data, next } = await engine.items({ ...target, ...defined(query), after: from });
    return { data: toWire(data), next: next === null ? null : encodeCursor(list, next) };
  });
  app.get('/:batch_id/items/:seq', async (request) => {
    parseQuery(noQuery, request.query);
    return toWire(await engine.item(itemTargetOf(request)));
  });
  app.delete('/:batch_id/items/:seq', async (request) =>
    toWire(await engine.removeItem(itemTargetOf(request))),
  );
  app.post('/:batch_id/items/:seq/retry', async (request) => {
    const { seq, ...target } = itemTargetOf(request);
    optionalBodyOf(request, nothing);
    const { batch, retried } = await engine.retry({ ...target, items: [seq] });
    return { retried, batch: toWire(batch) };
  });
  app.get('/:batch_id/items/:seq/attempts', async (request) => {
    parseQuery(noQuery, request.query);
    const { attempts } = await engine.item(itemTargetOf(request));
    return { data: toWire(attempts) };
  });
  app.get('/:batch_id/items/:seq/logs', async (request) => {
    const { limit, after } = parseQuery(itemLogsQuery, request.query);
    const target = itemTargetOf(request);
    await engine.item(target);
    return logPage(engine, { ...target, limit }, after);
  });
  app.get(
    '/:batch_id/items/:seq/outputs/:name',
    { config: { sends_bytes: true } },
    async (request, reply) => {
      const { outputs } = await engine.item(itemTargetOf(request));
      const output = outputs.find(({ name }) => name === paramOf(request, 'name'));
      if (output === undefined) throw notFound();
      return sendFile(engine, { request, reply, file: output });
    },
  );
}
