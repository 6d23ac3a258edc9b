import type { Target } from '@sheaf/engine';
import { isBatchId, isFileId, SheafError } from '@sheaf/protocol';
import type { FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { notFound } from './problem.ts';
import { validate } from './validate.ts';

/** The one space there is so far. */
export const DEFAULT_SPACE = 'default';

/** Where a request acts, and for whom; without keys everybody is the user of this machine. */
export function callerOf(request: FastifyRequest): { space: string; by: string } {
  return { space: paramOf(request, 'space') ?? DEFAULT_SPACE, by: 'user' };
}

/** @throws not_found for an id of the wrong shape, like for one that does not exist. */
export function targetOf(request: FastifyRequest): Required<Target> {
  const batchId = paramOf(request, 'batch_id') ?? '';
  if (!isBatchId(batchId)) throw notFound();
  return { ...callerOf(request), batch_id: batchId };
}

export function itemTargetOf(request: FastifyRequest): Required<Target> & { seq: number } {
  const text = paramOf(request, 'seq') ?? '';
  if (!/^[1-9]\d{0,8}$/.test(text)) throw notFound();
  return { ...targetOf(request), seq: Number(text) };
}

export function fileOf(request: FastifyRequest): { space: string; by: string; file_id: string } {
  const fileId = paramOf(request, 'file_id') ?? '';
  if (!isFileId(fileId)) throw notFound();
  return { ...callerOf(request), file_id: fileId };
}

export function paramOf(request: FastifyRequest, name: string): string | undefined {
  // Fastify gives the parts of the address as an object of texts.
  return (request.params as Record<string, string | undefined>)[name];
}

/** The JSON body. @throws malformed_json when there is none. */
export function bodyOf<T>(request: FastifyRequest, schema: z.ZodType<T>): T {
  if (request.body === undefined)
    throw new SheafError('malformed_json', 'The body is empty; JSON is wanted.');
  return validate(schema, request.body);
}

/** The JSON body of a call that has something to say only sometimes. */
export function optionalBodyOf<T>(request: FastifyRequest, schema: z.ZodType<T>): T {
  return validate(schema, request.body ?? {});
}

/** Without the fields that are there but undefined, which optional properties do not allow. */
export function defined<T extends object>(fields: T): Defined<T> {
  const kept = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(kept) as Defined<T>; // entries lose the types
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** @throws bad_idempotency_key */
export function idempotencyOf(
  request: FastifyRequest,
  bodyHash: string,
): { idempotency_key?: string; body_hash?: string } {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return {};
  if (typeof key !== 'string' || !/^[\x20-\x7e]{1,255}$/.test(key)) {
    throw new SheafError(
      'bad_idempotency_key',
      'The Idempotency-Key must be 1–255 printable ASCII characters.',
    );
  }
  return { idempotency_key: key, body_hash: bodyHash };
}
