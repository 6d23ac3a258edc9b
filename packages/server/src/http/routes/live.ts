import type { FastifyInstance } from 'fastify';
import { callerOf } from '../call.ts';
import { attach, type LiveSocket } from '../live/connection.ts';
import { notFound } from '../problem.ts';
import type { Backend } from './index.ts';

/** Live news over a WebSocket. */
export function addLiveRoutes(app: FastifyInstance, { engine, hub }: Backend): void {
  app.route({
    method: 'GET',
    url: '/events',
    config: { is_live: true },
    handler: async () => {
      throw notFound(); // only a WebSocket can be opened here
    },
    wsHandler: (socket: LiveSocket, request) => {
      attach(socket, { engine, hub, space: callerOf(request).space, log: request.log });
    },
  });
}
