import { SheafError } from '@sheaf/protocol';
import type { FastifyInstance } from 'fastify';
import type { Backend } from './index.ts';

/** `/healthz`: the process answers. `/readyz`: the engine and its database do. */
export function addHealthRoutes(app: FastifyInstance, { engine }: Backend): void {
  let failure: unknown = null;
  engine.failed.catch((error: unknown) => {
    failure = error ?? new Error('the engine stopped');
  });
  app.get('/healthz', async () => ({ status: 'ok' }));
  app.get('/readyz', async () => {
    if (failure !== null) throw new SheafError('store_unavailable', 'The engine has stopped.', {}, failure);
    await engine.about();
    return { status: 'ready' };
  });
}
