import { Socket } from 'node:net';
import type { FastifyRequest, RouteOptions } from 'fastify';

/** Gives a route its time limit; bodies and answers that may be long have none. */
export function limitTime(route: RouteOptions, ms: number): void {
  const { is_upload, is_live, sends_bytes } = route.config ?? {};
  if (!is_upload && !is_live && !sends_bytes) route.handlerTimeout = ms;
}

/** Ends an upload of which nothing has come for a while. What it brought so far stays. */
export function endWhenIdle(request: FastifyRequest, ms: number): void {
  const { raw } = request;
  // A request that is made within the process has no real socket, and nothing to wait for.
  if (!(raw.socket instanceof Socket)) return;
  raw.setTimeout(ms, () => {
    // Once all is there, the silence is ours.
    if (!raw.complete) raw.socket.destroy();
  });
}
