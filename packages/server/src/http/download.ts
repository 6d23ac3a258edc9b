import type { Engine } from '@sheaf/engine';
import { type ItemFile, SheafError } from '@sheaf/protocol';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { callerOf } from './call.ts';
import { safeMediaType } from './intake/form.ts';
import { parseRange } from './range.ts';

/**
 * Sends stored bytes: whole, from where a broken download ended, or not at all when the client has
 * them. A file of a user is data: browsers keep it and never run it.
 */
export async function sendFile(
  engine: Engine,
  { request, reply, file }: { request: FastifyRequest; reply: FastifyReply; file: ItemFile },
): Promise<FastifyReply> {
  // The bytes of an address never change, so their hash is a strong tag.
  const etag = `"${file.sha256}"`;
  if (names(request.headers['if-none-match'], etag)) return reply.header('etag', etag).code(304).send();
  const ifRange = request.headers['if-range'];
  const isCurrent = ifRange === undefined || ifRange === etag;
  const stretch = parseRange(isCurrent ? request.headers.range : undefined, file.bytes);
  if (stretch.kind === 'unsatisfiable') {
    reply.header('content-range', `bytes */${file.bytes}`);
    throw new SheafError('range_not_satisfiable', `The file has ${file.bytes} bytes.`, { bytes: file.bytes });
  }
  const { start, end } = stretch.kind === 'part' ? stretch : { start: 0, end: file.bytes - 1 };
  const which = stretch.kind === 'part' ? { start, end } : {};
  const { stream } = await engine.openFile({ ...callerOf(request), file_id: file.id, ...which });
  if (stretch.kind === 'part') reply.code(206).header('content-range', `bytes ${start}-${end}/${file.bytes}`);
  return reply
    .headers({
      etag,
      'accept-ranges': 'bytes',
      'content-length': end - start + 1,
      'content-type': safeMediaType(file.media_type),
      'content-disposition': attachment(file.name),
      'content-security-policy': "default-src 'none'; sandbox",
      'repr-digest': `sha-256=:${Buffer.from(file.sha256, 'hex').toString('base64')}:`,
    })
    .send(stream);
}

/** Whether an If-None-Match names the tag; the weak form of it counts too (RFC 9110, 13.1.2). */
function names(header: string | undefined, etag: string): boolean {
  const tags = header?.split(',').map((tag) => tag.trim().replace(/^W\//, '')) ?? [];
  return tags.includes(etag) || tags.includes('*');
}

/** A name in a header (RFC 6266): ASCII for old clients, then the name as it is. */
function attachment(name: string): string {
  const ascii = name.replace(/[^\x20-\x7e]|["\\%/]/g, '_');
  const encoded = encodeURIComponent(name.toWellFormed()).replace(
    /['()*]/g,
    (letter) => `%${letter.charCodeAt(0).toString(16)}`,
  );
  return `attachment; filename="${ascii}"; filename*=UTF-8''${encoded}`;
}
