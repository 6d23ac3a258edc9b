import { finished, Readable } from 'node:stream';
import type { Multipart, MultipartFile } from '@fastify/multipart';
import type { IncomingItem } from '@sheaf/engine';
import { nameSchema, SheafError } from '@sheaf/protocol';
import type { FastifyRequest } from 'fastify';
import { mediaType } from '../negotiation.ts';
import { codeOf, quote } from '../problem.ts';
import { validate } from '../validate.ts';
import { watchParts } from './part-watcher.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** The largest file an upload may have. */
    max_file_bytes: number;
  }
}

/** Ten thousand parts are an attack, or a folder that is better sent in several calls. */
const MAX_PARTS = 9_999;

const UNKNOWN_TYPE = 'application/octet-stream';

const LIMITS = { parts: MAX_PARTS, fields: 100, fieldSize: 1_048_576, headerPairs: 50 };

/** A multipart body: its fields, then its files, each read before the next one is asked for. */
export type Form = { fields: Map<string, string>; hasFiles: boolean; files: AsyncGenerator<FilePart> };

export type FilePart = { name: string | undefined; media_type: string; content: Readable };

/**
 * Reads the fields of a multipart body and stops at its first file.
 *
 * @throws malformed_multipart, now or from `files`, for a body that is broken, ends early, or has a
 *   field behind a file; too_large for a field or file over the limit.
 */
export async function openForm(request: FastifyRequest): Promise<Form> {
  const boundary = mediaType(request.headers['content-type'] ?? '').parameters.get('boundary') ?? '';
  const problem = watchParts(request.raw, boundary, MAX_PARTS);
  const maxBytes = request.server.max_file_bytes;
  const parts = request.parts({
    limits: { ...LIMITS, fileSize: maxBytes },
    // A name is data and stays as it was sent; it never becomes a path.
    preservePath: true,
  });
  const fields = new Map<string, string>();
  let part = await nextPart();
  for (; part?.type === 'field'; part = await nextPart()) {
    if (fields.has(part.fieldname)) throw malformed(`The field ${quote(part.fieldname)} is given twice.`);
    if (part.valueTruncated)
      throw new SheafError('too_large', `The field ${quote(part.fieldname)} is over 1 MiB.`);
    fields.set(part.fieldname, String(part.value));
  }
  return { fields, hasFiles: part !== null, files: files(part) };

  async function* files(first: MultipartFile | null): AsyncGenerator<FilePart> {
    for (let part: Multipart | null = first; part !== null; part = await nextPart()) {
      if (part.type === 'field') {
        throw malformed(`The field ${quote(part.fieldname)} comes after a file; send fields first.`);
      }
      const { file } = part;
      const content = contentOf(file, maxBytes);
      yield { name: part.filename, media_type: safeMediaType(part.mimetype), content };
      await skipRest(file);
    }
  }

  async function nextPart(): Promise<Multipart | null> {
    try {
      const { value } = await parts.next();
      const wrong = problem();
      if (wrong !== null) throw malformed(wrong);
      return value ?? null;
    } catch (error) {
      throw asMalformed(error);
    }
  }
}

/** Reads a form that is one file and nothing else. */
export async function readOneFile<T>(
  request: FastifyRequest,
  take: (file: FilePart) => Promise<T>,
): Promise<T> {
  const { fields, files } = await openForm(request);
  const first = await files.next();
  if (fields.size > 0 || first.done) throw malformed('The form must be one file and nothing else.');
  const taken = await take(first.value);
  const second = await files.next();
  if (!second.done) throw malformed('The form has more than one file.');
  return taken;
}

/** The files of a form as items. */
export async function* itemsOf(files: AsyncIterable<FilePart>): AsyncGenerator<IncomingItem> {
  for await (const { name, media_type, content } of files) {
    yield {
      content,
      ...(name !== undefined && { name: validate(nameSchema, name) }),
      // Bytes of no known type may yet have a name that tells it.
      ...(media_type !== UNKNOWN_TYPE && { media_type }),
    };
  }
}

function contentOf(file: MultipartFile['file'], maxBytes: number): Readable {
  return Readable.from(read(), { objectMode: false });

  async function* read(): AsyncGenerator<Buffer> {
    try {
      yield* file;
    } catch (error) {
      throw asMalformed(error);
    }
    // The parser cuts a file at the limit and ends it as if it were whole.
    if (file.truncated)
      throw new SheafError('too_large', `A file is over ${maxBytes} bytes.`, { limit: maxBytes });
  }
}

/** Whatever nobody wanted to read of a file stands between us and the next part. */
function skipRest(file: Readable): Promise<void> {
  return new Promise((resolve) => {
    finished(file, () => resolve());
    file.resume();
  });
}

/** Only errors of the parser come without a code of ours, and what it cannot read is malformed. */
function asMalformed(error: unknown): unknown {
  if (codeOf(error) !== 'internal') return error;
  return malformed('The body is broken or ends early.', error);
}

function malformed(message: string, cause?: unknown): SheafError {
  return new SheafError('malformed_multipart', message, {}, cause);
}

/** The type a file says it has, if it is one. */
export function safeMediaType(text: string): string {
  const { type } = mediaType(text);
  return /^[\w!#$&^.+-]{1,63}\/[\w!#$&^.+-]{1,63}$/.test(type) ? type : UNKNOWN_TYPE;
}
