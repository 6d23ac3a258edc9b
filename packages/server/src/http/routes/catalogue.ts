import { toWire } from '@sheaf/protocol';
import type { FastifyInstance } from 'fastify';
import { paramOf } from '../call.ts';
import { notFound } from '../problem.ts';
import { noQuery, parseQuery } from '../query.ts';
import type { Backend } from './index.ts';

/** What is installed and who works: processors with the schemas of their config and input, templates, workers. */
export function addCatalogueRoutes(app: FastifyInstance, { engine }: Backend): void {
  app.get('/processors', async (request) => {
    parseQuery(noQuery, request.query);
    return { data: toWire(engine.processors()) };
  });
  app.get('/processors/:name', async (request) => {
    const processor = engine.processors().find(({ name }) => name === paramOf(request, 'name'));
    if (processor === undefined) throw notFound();
    return toWire(processor);
  });
  app.get('/templates', async (request) => {
    parseQuery(noQuery, request.query);
    return { data: toWire(engine.templates()) };
  });
  app.get('/templates/:id', async (request) => {
    const template = engine.templates().find(({ id }) => id === paramOf(request, 'id'));
    if (template === undefined) throw notFound();
    return toWire(template);
  });
  app.get('/workers', async (request) => {
    parseQuery(noQuery, request.query);
    return { data: toWire(await engine.workers()) };
  });
}
