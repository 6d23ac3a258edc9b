import type { FastifyRequest, RouteOptions } from 'fastify';

/** Gives a route its time limit; bodies and answers that may be long have none. */
export function limitTime(route: RouteOptions, ms: number): void {
  const { is_upload, is_live, sends_bytes } = route.config ?? {};
  if (!is_upload && !is_live && !sends_bytes) route.handlerTimeout = ms;
}

/** Ends an upload of which nothing has come for a while. What it brought so far stays. */
export function endWhenIdle(request: FastifyRequest, ms: number): void {
  const { raw } = request;
  raw.setTimeout(ms, () => {
    // Once all is there, the silence is ours.
    if (!raw.complete) raw.socket.destroy();
  });
}
