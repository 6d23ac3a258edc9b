import type { Readable } from 'node:stream';
import type { Engine } from '@sheaf/engine';
import { nameSchema, toWire } from '@sheaf/protocol';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { takeBytes } from '../body/parsers.ts';
import { callerOf, fileOf } from '../call.ts';
import { sendFile } from '../download.ts';
import { readOneFile, safeMediaType } from '../intake/form.ts';
import { noQuery, parseQuery } from '../query.ts';
import { validate } from '../validate.ts';
import type { Backend } from './index.ts';

const uploadQuery = z.strictObject({ name: z.string() });

/** Bytes with a name: uploads to make items of, and outputs. */
export function addFileRoutes(app: FastifyInstance, { engine }: Backend): void {
  takeBytes(app);
  app.post('', { config: { takes: ['multipart', 'bytes'], is_upload: true } }, async (request, reply) => {
    const file = request.isMultipart()
      ? await uploadForm(engine, request)
      : await uploadBytes(engine, request);
    reply.code(201).header('location', `${request.url.split('?', 1)[0]}/${file.id}`);
    return toWire(file);
  });
  app.get('/:file_id', async (request) => {
    parseQuery(noQuery, request.query);
    return toWire(await engine.file(fileOf(request)));
  });
  app.get('/:file_id/content', { config: { sends_bytes: true } }, async (request, reply) => {
    const file = await engine.file(fileOf(request));
    return sendFile(engine, { request, reply, file });
  });
}

function uploadBytes(engine: Engine, request: FastifyRequest) {
  const name = validate(z.strictObject({ name: nameSchema }), parseQuery(uploadQuery, request.query)).name;
  const mediaType = safeMediaType(request.headers['content-type'] ?? '');
  const source = request.body as Readable; // the parser for bytes hands the stream on
  return engine.upload(source, {
    ...callerOf(request),
    name,
    media_type: mediaType,
    max_bytes: request.server.max_file_bytes,
  });
}

function uploadForm(engine: Engine, request: FastifyRequest) {
  return readOneFile(request, ({ name, media_type, content }) =>
    engine.upload(content, {
      ...callerOf(request),
      name: validate(nameSchema, name ?? 'file'),
      media_type,
    }),
  );
}
