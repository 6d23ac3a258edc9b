import { createHash } from 'node:crypto';
import type { Engine } from '@sheaf/engine';
import { type Batch, type NewItem, SheafError } from '@sheaf/protocol';
import type { FastifyRequest } from 'fastify';
import { callerOf, idempotencyOf } from '../call.ts';
import { appendStream, withDetails } from './append.ts';
import { type FilePart, itemsOf, openForm } from './form.ts';
import { decoded, type JsonItem } from './items.ts';
import { type NewBatch, parseFormFields, parseNewBatch } from './new-batch.ts';

type Created = { batch: Batch; created: boolean };
type Caller = ReturnType<typeof callerOf>;

/** Files of one call that are written at the same time. */
const UPLOADS = 8;

export async function createFromJson(engine: Engine, request: FastifyRequest): Promise<Created> {
  const idempotency = idempotencyOf(request, request.body_hash);
  if (request.body === undefined)
    throw new SheafError('malformed_json', 'The body is empty; JSON is wanted.');
  const caller = callerOf(request);
  const { head, items } = await stored(engine, caller, await parseNewBatch(request.body));
  return engine.create({ ...head, ...(items && { items }) }, { ...caller, ...idempotency });
}

/**
 * Makes a draft from the fields, streams the files into it, and starts it. When the body breaks, the
 * draft stays with the files that came whole, and the error says which it is.
 */
export async function createFromForm(engine: Engine, request: FastifyRequest): Promise<Created> {
  const { fields, files, hasFiles } = await openForm(request);
  const bodyHash = createHash('sha256')
    .update(`multipart ${JSON.stringify([...fields])}`)
    .digest('hex');
  const caller = callerOf(request);
  const options = { ...caller, ...idempotencyOf(request, bodyHash) };
  const { head, items } = await stored(engine, caller, await parseFormFields(fields));
  const batch = { ...head, ...(items && { items }) };
  if (!hasFiles) return engine.create(batch, options);

  const draft = await engine.create({ ...batch, start: false }, options);
  const wantsStart = head.start !== false;
  if (!draft.created) return answeredBefore(draft.batch, files, wantsStart);
  const target = { ...caller, batch_id: draft.batch.id };
  const { batch: filled } = await appendStream(engine, target, itemsOf(files)).catch(
    async (error: unknown) => {
      throw await leftAsDraft(engine, target, error);
    },
  );
  return { batch: wantsStart ? await engine.start(target) : filled, created: true };
}

async function answeredBefore(
  batch: Batch,
  files: AsyncIterable<FilePart>,
  wantsStart: boolean,
): Promise<Created> {
  if (batch.status === 'draft' && wantsStart) {
    throw new SheafError(
      'wrong_status',
      `An earlier call with this Idempotency-Key left the draft ${batch.id} with ${batch.total_items} items: append the rest and start it, or delete it and use a new key.`,
      { batch_id: batch.id, current_status: batch.status, allowed_actions: batch.allowed_actions },
    );
  }
  // The client sends its files once more, and must be let to.
  for await (const _ of files);
  return { batch, created: false };
}

async function leftAsDraft(
  engine: Engine,
  target: Caller & { batch_id: string },
  error: unknown,
): Promise<unknown> {
  const { status, total_items } = await engine.get(target);
  return withDetails(
    error,
    { batch_id: target.batch_id, batch_status: status, accepted: total_items },
    `The batch ${target.batch_id} stays a draft with ${total_items} items: append the rest and start it, or delete it.`,
  );
}

/** Stores what came as base64, so that the batch and its items are made in one step. */
async function stored(engine: Engine, caller: Caller, { head, items }: NewBatch) {
  if (items === undefined) return { head, items };
  const result: NewItem[] = [];
  for (let from = 0; from < items.length; from += UPLOADS) {
    const some = items.slice(from, from + UPLOADS);
    result.push(...(await Promise.all(some.map((item) => storedItem(engine, caller, item)))));
  }
  return { head, items: result };
}

async function storedItem(engine: Engine, caller: Caller, { data, ...item }: JsonItem): Promise<NewItem> {
  if (data === undefined) return item;
  const { id } = await engine.upload(decoded(data), { ...caller, name: item.name ?? 'data' });
  return { ...item, file_id: id };
}
