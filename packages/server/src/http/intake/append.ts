import type { Readable } from 'node:stream';
import type { Engine, IncomingItem, Target } from '@sheaf/engine';
import { errorCode, type FieldError, SheafError } from '@sheaf/protocol';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { bodyOf } from '../call.ts';
import { mediaType } from '../negotiation.ts';
import { codeOf } from '../problem.ts';
import { invalid } from '../validate.ts';
import { itemsOf, openForm } from './form.ts';
import { parseItems, withContent } from './items.ts';
import { badLine, readNdjson } from './ndjson.ts';
import { untilBroken } from './until-broken.ts';

export type Appended = Awaited<ReturnType<Engine['append']>>;

const itemList = z.array(z.unknown());

/** Adds the items of a body, whatever its form. What came before a mistake stays (`accepted`). */
export async function appendBody(engine: Engine, target: Target, request: FastifyRequest): Promise<Appended> {
  if (request.isMultipart()) return appendForm(engine, target, request);
  const { type } = mediaType(request.headers['content-type'] ?? '');
  return type === 'application/x-ndjson'
    ? appendNdjson(engine, target, request.body as Readable) // the parser of this type hands the stream on
    : appendList(engine, target, bodyOf(request, itemList));
}

async function appendForm(engine: Engine, target: Target, request: FastifyRequest): Promise<Appended> {
  const { fields, files } = await openForm(request);
  const [field] = fields.keys();
  if (field === undefined) return appendStream(engine, target, itemsOf(files));
  throw invalid([{ pointer: `/${field}`, code: 'unknown_field', message: 'Here a form has files only.' }]);
}

async function appendNdjson(engine: Engine, target: Target, source: Readable): Promise<Appended> {
  const reader = readNdjson(source);
  try {
    return await appendStream(engine, target, reader.items);
  } catch (error) {
    // The engine takes one item at a time: what it refuses is what was read last.
    throw errorCode(error)?.startsWith('invalid') ? badLine(error, reader.line, /^\/items\/\d+/) : error;
  }
}

async function appendList(engine: Engine, target: Target, list: readonly unknown[]): Promise<Appended> {
  const items = await parseItems(list);
  try {
    return await engine.append(target, withContent(items));
  } catch (error) {
    const { errors } = error instanceof SheafError ? (error.details as { errors?: FieldError[] }) : {};
    // The engine knows a batch with items; here the body is the list itself.
    const own = errors?.map((one) => ({ ...one, pointer: one.pointer.replace(/^\/items/, '') }));
    throw own === undefined ? error : withDetails(error, { errors: own });
  }
}

/**
 * Adds items from a stream. When it breaks, what came before stays, and the error says how many items
 * that are.
 */
export async function appendStream(
  engine: Engine,
  target: Target,
  items: AsyncIterable<IncomingItem>,
): Promise<Appended> {
  const stream = untilBroken(items);
  const appended = await engine.append(target, stream.items);
  if (stream.error === null) return appended;
  throw withDetails(stream.error, { accepted: appended.accepted });
}

/** The same error, saying more. One of ours that nobody foresaw stays as it is. */
export function withDetails(error: unknown, details: Record<string, unknown>, hint = ''): unknown {
  const code = codeOf(error);
  if (code === 'internal' || !(error instanceof Error)) return error;
  const known = error instanceof SheafError ? error.details : {};
  return new SheafError(code, `${error.message} ${hint}`.trim(), { ...known, ...details }, error);
}
