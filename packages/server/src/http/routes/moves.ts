import type { Engine, Target } from '@sheaf/engine';
import { type Batch, pauseSchema, prioritySchema, retrySchema, toWire } from '@sheaf/protocol';
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { bodyOf, defined, optionalBodyOf, targetOf } from '../call.ts';
import type { Backend } from './index.ts';

const nothing = z.strictObject({});
const prioritizeSchema = z.strictObject({ priority: prioritySchema });
const rejectSchema = z.strictObject({ reason: z.string().max(1_000).optional() });

/** Moves that need no word beside their name. */
const PLAIN_MOVES = {
  start: (engine, target) => engine.start(target),
  seal: (engine, target) => engine.seal(target),
  resume: (engine, target) => engine.resume(target),
  cancel: (engine, target) => engine.cancel(target),
  approve: (engine, target) => engine.approve(target),
} as const satisfies Record<string, (engine: Engine, target: Target) => Promise<Batch>>;

/** Steering: each answers the batch as the move left it. */
export function addMoveRoutes(app: FastifyInstance, { engine }: Backend): void {
  for (const [name, move] of Object.entries(PLAIN_MOVES)) {
    app.post(`/:batch_id/${name}`, async (request) => {
      const target = targetOf(request);
      optionalBodyOf(request, nothing);
      return toWire(await move(engine, target));
    });
  }
  app.post('/:batch_id/pause', async (request) => {
    const target = targetOf(request);
    return toWire(await engine.pause({ ...target, ...defined(optionalBodyOf(request, pauseSchema)) }));
  });
  app.post('/:batch_id/reject', async (request) => {
    const target = targetOf(request);
    const { reason } = optionalBodyOf(request, rejectSchema);
    const batch = await engine.reject(target);
    request.log.info({ batch_id: batch.id, reason }, 'batch rejected');
    return toWire(batch);
  });
  app.post('/:batch_id/priority', async (request) => {
    const target = targetOf(request);
    return toWire(await engine.update({ ...target, fields: bodyOf(request, prioritizeSchema) }));
  });
  app.post('/:batch_id/retry', async (request) => {
    const target = targetOf(request);
    const { batch, retried } = await engine.retry({ ...target, ...optionalBodyOf(request, retrySchema) });
    return { retried, batch: toWire(batch) };
  });
}
