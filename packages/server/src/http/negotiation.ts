import { ERRORS, SheafError } from '@sheaf/protocol';
import type { FastifyRequest } from 'fastify';

/** The forms of body a route takes. `bytes` is anything, stored as it comes. */
export type BodyKind = 'json' | 'multipart' | 'ndjson' | 'bytes';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** @default ['json'] */
    takes?: readonly BodyKind[];
    /** The answer is a file: its type is the file's own, whatever Accept says. @default false */
    sends_bytes?: boolean;
    /** Not bound to the time limit of a request; an idle one ends. @default false */
    is_upload?: boolean;
    /** Speaks WebSocket. @default false */
    is_live?: boolean;
  }
}

const MEDIA_TYPES: Readonly<Record<string, BodyKind>> = {
  'application/json': 'json',
  'multipart/form-data': 'multipart',
  'application/x-ndjson': 'ndjson',
};

/** Refuses a body that the route does not take, before any of it is read. */
export function checkContentType(request: FastifyRequest): void {
  if (!hasBody(request)) return;
  const takes = request.routeOptions.config.takes ?? ['json'];
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    throw new SheafError('unsupported_media_type', 'Send the body as it is, without Content-Encoding.');
  }
  const { type, parameters } = mediaType(request.headers['content-type'] ?? '');
  const kind = MEDIA_TYPES[type];
  if (kind === 'multipart' && !parameters.has('boundary')) {
    throw new SheafError('malformed_multipart', 'The Content-Type names no boundary.');
  }
  if (takes.includes('bytes') && type !== '') return;
  if (kind !== undefined && takes.includes(kind) && isUtf8(parameters)) return;
  const wanted = Object.entries(MEDIA_TYPES).flatMap(([name, form]) => (takes.includes(form) ? [name] : []));
  if (takes.includes('bytes')) wanted.push('the type of the file');
  throw new SheafError('unsupported_media_type', `Send the body as ${wanted.join(' or ')}, texts in UTF-8.`);
}

function hasBody(request: FastifyRequest): boolean {
  const length = request.headers['content-length'];
  return request.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}

function isUtf8(parameters: ReadonlyMap<string, string>): boolean {
  const charset = parameters.get('charset');
  return charset === undefined || /^(?:utf-?8|us-ascii)$/i.test(charset);
}

/** `multipart/form-data; boundary="x"` in its parts, names in lower case. */
export function mediaType(header: string): { type: string; parameters: Map<string, string> } {
  const [type = '', ...rest] = header.split(';');
  const parameters = rest.map((part) => {
    const [name = '', ...value] = part.split('=');
    const unquoted = value
      .join('=')
      .trim()
      .replace(/^"(.*)"$/, '$1');
    return [name.trim().toLowerCase(), unquoted] as const;
  });
  return {
    type: type.trim().toLowerCase(),
    parameters: new Map(parameters.filter(([, value]) => value !== '')),
  };
}

/** Refuses an Accept that leaves out what is answered here, which is JSON. */
export function checkAccept(request: FastifyRequest): void {
  const { accept } = request.headers;
  if (accept === undefined || accept.trim() === '' || request.routeOptions.config.sends_bytes) return;
  const isWanted = accept.split(',').some((entry) => {
    const { type, parameters } = mediaType(entry);
    const fits = type === '*/*' || type === 'application/*' || type === 'application/json';
    return fits && Number(parameters.get('q') ?? 1) > 0;
  });
  if (!isWanted) throw new SheafError('not_acceptable', `${ERRORS.not_acceptable.means} Here it is JSON.`);
}
