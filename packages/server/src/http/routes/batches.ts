import type { Engine, Target } from '@sheaf/engine';
import { isBatchId, type Progress, toIso, toWire, updateBatchSchema } from '@sheaf/protocol';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { MAX_ITEMS_JSON_BYTES } from '../body/parsers.ts';
import { bodyOf, callerOf, defined, optionalBodyOf, targetOf } from '../call.ts';
import { decodeCursor, encodeCursor } from '../cursor.ts';
import { createFromForm, createFromJson } from '../intake/create.ts';
import { notFound } from '../problem.ts';
import {
  deleteQuery,
  eventsQuery,
  findBatchesQuery,
  getBatchQuery,
  listBatchesQuery,
  logsQuery,
  noQuery,
  parseQuery,
  progressQuery,
} from '../query.ts';
import type { Backend } from './index.ts';

const mergeSchema = z.strictObject({
  batch_ids: z.array(z.string().max(255)).min(2).max(100),
  name: updateBatchSchema.shape.name,
});

const cleanupSchema = z.strictObject({ days_old: z.int().min(0).max(36_500).default(7) });

const nothing = z.strictObject({});

/** Making, finding, reading, changing and deleting batches. */
export function addBatchRoutes(app: FastifyInstance, { engine }: Backend): void {
  app.post(
    '',
    { bodyLimit: MAX_ITEMS_JSON_BYTES, config: { takes: ['json', 'multipart'], is_upload: true } },
    async (request, reply) => {
      const { batch, created } = request.isMultipart()
        ? await createFromForm(engine, request)
        : await createFromJson(engine, request);
      reply.code(created ? 201 : 200).header('location', `${request.url.split('?', 1)[0]}/${batch.id}`);
      return toWire(batch);
    },
  );
  app.get('', async (request) => {
    if (Object.hasOwn(Object(request.query), 'find')) return found(engine, request);
    const query = parseQuery(listBatchesQuery, request.query);
    const { data, total } = await engine.list({ ...callerOf(request), ...defined(query) });
    return { data: toWire(data), total, limit: query.limit, offset: query.offset };
  });
  app.get('/:batch_id', async (request) => {
    const { items_limit } = parseQuery(getBatchQuery, request.query);
    const target = targetOf(request);
    const [batch, { estimated_time_remaining_ms, items_per_second, bytes_per_second }, items] =
      await Promise.all([
        engine.get(target),
        engine.progress(target),
        firstItems(engine, target, items_limit),
      ]);
    return toWire({ ...batch, estimated_time_remaining_ms, items_per_second, bytes_per_second, items });
  });
  app.route({
    method: ['PATCH', 'PUT'],
    url: '/:batch_id',
    handler: async (request) => {
      const target = targetOf(request);
      return toWire(await engine.update({ ...target, fields: bodyOf(request, updateBatchSchema) }));
    },
  });
  app.delete('/:batch_id', async (request, reply) => {
    const { force } = parseQuery(deleteQuery, request.query);
    await engine.delete({ ...targetOf(request), force });
    return reply.code(204).send();
  });
  addReadings(app, engine);

  app.post('/merge', async (request, reply) => {
    const { batch_ids, name } = bodyOf(request, mergeSchema);
    if (!batch_ids.every(isBatchId)) throw notFound();
    const batch = await engine.merge({
      ...callerOf(request),
      batch_ids,
      ...(name !== undefined && { name }),
    });
    return reply.code(201).send(toWire(batch));
  });
  app.post('/recover', async (request) => {
    optionalBodyOf(request, nothing);
    const { recovered_count, failed_count, timestamp } = await engine.recover(callerOf(request));
    return { recovered_count, failed_count, timestamp: toIso(timestamp) };
  });
  app.post('/cleanup', async (request) => {
    const { days_old } = optionalBodyOf(request, cleanupSchema);
    return engine.cleanup({ ...callerOf(request), days_old });
  });
}

/** Batches that a person may mean: by id, by a beginning or end of it, or by exact name. */
async function found(engine: Engine, request: FastifyRequest) {
  const { find } = parseQuery(findBatchesQuery, request.query);
  const data = await engine.find({ ...callerOf(request), text: find });
  return { data: toWire(data), total: data.length, limit: data.length, offset: 0 };
}

function addReadings(app: FastifyInstance, engine: Engine): void {
  app.get('/:batch_id/progress', async (request) => {
    const { items_limit } = parseQuery(progressQuery, request.query);
    const target = targetOf(request);
    const [progress, items] = await Promise.all([
      engine.progress(target),
      firstItems(engine, target, items_limit),
    ]);
    const short = items.map(({ seq, name, status, result }) => ({ seq, name, status, result }));
    return toWire({ ...progress, items: short } satisfies Progress & { items: unknown });
  });
  app.get('/:batch_id/failures', async (request) => {
    parseQuery(noQuery, request.query);
    return { data: toWire(await engine.causes(targetOf(request))) };
  });
  app.get('/:batch_id/state', async (request) => {
    parseQuery(noQuery, request.query);
    return engine.state(targetOf(request));
  });
  app.get('/:batch_id/events', async (request) => {
    const { since, limit } = parseQuery(eventsQuery, request.query);
    const data = await engine.events({ ...targetOf(request), since, limit });
    return { data: toWire(data) };
  });
  app.get('/:batch_id/logs', async (request) => {
    const { seq, limit, after } = parseQuery(logsQuery, request.query);
    return logPage(engine, { ...targetOf(request), limit, ...(seq !== undefined && { seq }) }, after);
  });
}

/** A page of log texts, of a whole batch or of one item. */
export async function logPage(
  engine: Engine,
  query: Target & { seq?: number; limit: number },
  cursor: string | undefined,
) {
  const list = `logs ${query.batch_id} ${query.seq ?? ''}`;
  const after = cursor === undefined ? 0 : decodeCursor(list, cursor);
  const { data, next } = await engine.logs({ ...query, after });
  return { data: toWire(data), next: next === null ? null : encodeCursor(list, next) };
}

async function firstItems(engine: Engine, target: Target, limit: number) {
  if (limit === 0) return [];
  const { data } = await engine.items({ ...target, after: 0, limit });
  return data;
}
