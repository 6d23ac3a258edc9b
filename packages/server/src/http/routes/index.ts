import type { Engine } from '@sheaf/engine';
import type { FastifyInstance, FastifyPluginAsync } from 'fastify';
import { DEFAULT_SPACE, paramOf } from '../call.ts';
import type { Hub } from '../live/hub.ts';
import { notFound } from '../problem.ts';
import { addBatchRoutes } from './batches.ts';
import { addCatalogueRoutes } from './catalogue.ts';
import { addFileRoutes } from './files.ts';
import { addHealthRoutes } from './health.ts';
import { addItemRoutes } from './items.ts';
import { addLiveRoutes } from './live.ts';
import { addMoveRoutes } from './moves.ts';

/** What the routes work with. */
export type Backend = { engine: Engine; hub: Hub };

/** Plain addresses act in the default space, the longer ones name theirs. */
const API_PREFIXES = ['/api', '/api/spaces/:space'];

/** The second one is for callers of older systems that know batches as jobs. */
const BATCH_PREFIXES = ['/batches', '/batch/jobs'];

/** Every address of the server. */
export async function addRoutes(app: FastifyInstance, backend: Backend): Promise<void> {
  addHealthRoutes(app, backend);
  for (const prefix of API_PREFIXES) await app.register(addApi, { ...backend, prefix });
}

const addApi: FastifyPluginAsync<Backend> = async (api, { engine, hub }) => {
  api.addHook('onRequest', async (request) => {
    const space = paramOf(request, 'space');
    if (space !== undefined && space !== DEFAULT_SPACE) throw notFound();
  });
  for (const prefix of BATCH_PREFIXES) await api.register(addBatches, { engine, hub, prefix });
  addCatalogueRoutes(api, { engine, hub });
  addLiveRoutes(api, { engine, hub });
  await api.register(addFiles, { engine, hub, prefix: '/files' });
};

const addBatches: FastifyPluginAsync<Backend> = async (batches, backend) => {
  addBatchRoutes(batches, backend);
  addMoveRoutes(batches, backend);
  addItemRoutes(batches, backend);
};

const addFiles: FastifyPluginAsync<Backend> = async (files, backend) => {
  addFileRoutes(files, backend);
};
