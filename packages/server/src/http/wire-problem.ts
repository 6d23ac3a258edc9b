import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { ERRORS } from '@sheaf/protocol';

const CODES = { 400: 'bad_request', 408: 'request_timeout', 431: 'headers_too_large' } as const;

/**
 * Answers on a bare socket, where there is no request yet: its head was too large, broken, or never
 * ended. The connection ends with it.
 */
export function refuseSocket(socket: Socket, status: 400 | 408 | 431): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const code = CODES[status];
  const body = JSON.stringify({ type: `/docs/errors#${code}`, title: ERRORS[code].means, status, code });
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: private, no-store',
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

/** For `clientError`: what Node could not read as HTTP. */
export function refuseClient(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const status =
    error.code === 'HPE_HEADER_OVERFLOW' ? 431 : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400;
  refuseSocket(socket, status);
}
