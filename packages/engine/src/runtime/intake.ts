import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import {
  type Batch,
  type CreateBatch,
  createBatchSchema,
  DEFAULT_CONCURRENCY,
  DEFAULT_POLICIES,
  DEFAULT_PRIORITY,
  type FieldError,
  type Json,
  makeId,
  type NewItem,
  newItemSchema,
  SheafError,
} from '@sheaf/protocol';
import mime from 'mime';
import type { z } from 'zod';
import type { Caller, IncomingItem, Target } from '../api.ts';
import { anyJson } from '../define-processor.ts';
import { check, invalid } from '../domain/check.ts';
import { type ItemRow, toItemRow } from '../domain/item-row.ts';
import type { Registry } from '../domain/registry.ts';
import type { Chance, Clock } from '../ports/clock.ts';
import type { PackTemplate, Processor } from '../ports/processor.ts';
import type { FileRow, Store } from '../ports/store.ts';
import type { Uploads } from './uploads.ts';

/** Rows one appending transaction writes: enough to be fast, few enough that records do not wait. */
const CHUNK_ROWS = 5_000;

/** And the text they may hold. */
const CHUNK_CHARS = 8_000_000;

/** Where checks, names and bytes of new work come together; the Store gets rows that are right. */
export type Intake = {
  create(
    input: CreateBatch,
    options: Caller & { idempotency_key?: string; body_hash?: string },
  ): Promise<{ batch: Batch; created: boolean }>;
  append(
    target: Target,
    items: Iterable<IncomingItem> | AsyncIterable<IncomingItem>,
  ): Promise<{ batch: Batch; accepted: number; first_seq: number | null }>;
  /** The batch's config with changes, checked by its processor. */
  changedConfig(batch: Batch, changes: Record<string, Json>): Record<string, Json>;
};

export function createIntake(options: {
  store: Store;
  uploads: Uploads;
  clock: Clock;
  chance: Chance;
  processors: Registry<Processor>;
  templates: Registry<PackTemplate>;
}): Intake {
  const { store, uploads, clock, chance, processors, templates } = options;

  function plan(input: CreateBatch) {
    const template =
      input.template_id === undefined
        ? undefined
        : templates.get(input.template_id, 'unknown_template', '/template_id');
    const name = input.processor ?? template?.processor;
    if (name === undefined) {
      const message = 'Name a processor or a template_id.';
      throw invalid([{ pointer: '/processor', code: 'invalid', message }]);
    }
    const processor = processors.get(name, 'unknown_processor', '/processor');
    const config = checkConfig(processor, { ...(template?.config ?? {}), ...input.config });
    return { processor, config };
  }

  async function create(
    raw: CreateBatch,
    {
      space = 'default',
      by = 'system',
      idempotency_key,
      body_hash,
    }: Caller & { idempotency_key?: string; body_hash?: string },
  ): Promise<{ batch: Batch; created: boolean }> {
    if (typeof raw !== 'object' || raw === null) check(createBatchSchema, raw);
    // Items have their own, faster check; the schema would walk each of them twice.
    const { items, ...rest } = raw;
    const input = check(createBatchSchema, items === undefined || Array.isArray(items) ? rest : raw);
    const { processor, config } = plan(input);
    const rows = toRows(items ?? [], processor);
    const now = clock.now();
    const id = makeId('bat', now, chance.bytes(10));
    return store.create(
      {
        id,
        space,
        name: input.name ?? null,
        description: input.description ?? '',
        processor: processor.name,
        processor_version: processor.version,
        pool: processor.pool,
        config,
        template_id: input.template_id ?? null,
        customer_prefix: input.customer_prefix ?? null,
        session_id: input.session_id ?? null,
        labels: input.labels ?? {},
        metadata: input.metadata ?? {},
        external_ids: input.external_ids ?? {},
        concurrency: input.concurrency ?? DEFAULT_CONCURRENCY,
        priority: input.priority ?? DEFAULT_PRIORITY,
        policies: policiesOf(input),
        requires_approval: input.requires_approval ?? false,
        open: input.open ?? false,
        created_by: by,
      },
      rows,
      {
        now,
        start: input.start ?? items !== undefined,
        ...(idempotency_key === undefined
          ? {}
          : { idempotency: { route: 'create', key: idempotency_key, body_hash: body_hash ?? hashOf(raw) } }),
      },
    );
  }

  async function append(
    { space = 'default', by = 'system', batch_id }: Target,
    items: Iterable<IncomingItem> | AsyncIterable<IncomingItem>,
  ): Promise<{ batch: Batch; accepted: number; first_seq: number | null }> {
    let batch = await store.get({ space, batch_id });
    const schema = inputSchemaOf(processors.get(batch.processor, 'unknown_processor', '/processor'));
    let rows: ItemRow[] = [];
    let chars = 0;
    let accepted = 0;
    let index = 0;
    let first: number | null = null;
    let writing: Promise<void> = Promise.resolve();
    let isRefused = false;

    /** Sends off what has gathered, once what was sent before is written: the next rows gather meanwhile. */
    async function flush(): Promise<void> {
      await writing;
      writing = write(rows);
      writing.catch(() => {
        isRefused = true;
      });
      rows = [];
      chars = 0;
    }

    async function write(some: readonly ItemRow[]): Promise<void> {
      if (some.length === 0) return;
      try {
        const answer = await store.append({ space, batch_id, by, now: clock.now() }, some);
        batch = answer.batch;
        first ??= answer.first_seq;
        accepted += some.length;
      } catch (error) {
        // One that names no file refuses its whole chunk; those before it are right.
        const wrong = wrongRow(error, some.length);
        if (wrong === null) throw error;
        const before = accepted;
        await write(some.slice(0, wrong));
        throw invalid([{ ...noFile(some[wrong]), pointer: `/items/${before + wrong}/file_id` }]);
      }
    }

    try {
      for await (const incoming of items) {
        const { content, media_type, ...item } = asItem(incoming, `/items/${index}`);
        const row = toItemRow(item, schema, `/items/${index}`);
        if (content !== undefined) row.file_id = (await keepContent(content, row, media_type)).id;
        rows.push(row);
        chars += (row.input?.length ?? 0) + (row.name?.length ?? 0);
        index += 1;
        // A refusal is told with the next item, not when a slow caller has sent a chunk more.
        if (isRefused || rows.length >= CHUNK_ROWS || chars >= CHUNK_CHARS) await flush();
      }
      await flush();
      await writing;
    } catch (error) {
      // What came before the refused item, or before the stream broke, is kept: the caller goes on from there.
      // If it is refused itself, that comes first.
      const earlier = await flush()
        .then(() => writing)
        .catch((problem: unknown) => problem);
      throw withAccepted(earlier ?? error, accepted);
    }
    return { batch, accepted, first_seq: first };

    function keepContent(content: Readable, row: ItemRow, mediaType: string | undefined): Promise<FileRow> {
      const name = row.name ?? row.key ?? `file-${index + 1}`;
      const media = mediaType ?? mime.getType(name) ?? 'application/octet-stream';
      return uploads.put(content, { space, name, media_type: media });
    }
  }

  return {
    create,
    append,
    changedConfig(batch, changes) {
      const processor = processors.get(batch.processor, 'unknown_processor', '/processor');
      return checkConfig(processor, { ...batch.config, ...changes });
    },
  };
}

/** The config as its processor wants it, defaults filled in: children and reports see the same. */
function checkConfig(processor: Processor, config: Record<string, Json>): Record<string, Json> {
  const checked = check(processor.config, config, '/config');
  return JSON.parse(JSON.stringify(checked)) as Record<string, Json>;
}

function inputSchemaOf(processor: Processor): z.ZodType | null {
  return processor.input === anyJson ? null : processor.input;
}

/** All items or none: the wrong ones are told together, the first hundred by name. */
function toRows(items: readonly NewItem[], processor: Processor): ItemRow[] {
  const schema = inputSchemaOf(processor);
  const errors: FieldError[] = [];
  let count = 0;
  const rows: ItemRow[] = [];
  for (const [index, item] of items.entries()) {
    try {
      rows.push(toItemRow(item, schema, `/items/${index}`));
    } catch (error) {
      if (!(error instanceof SheafError)) throw error;
      count += 1;
      if (errors.length < 100) errors.push(...((error.details.errors ?? []) as FieldError[]));
    }
  }
  if (count > 0) throw invalid(errors, Math.max(count, errors.length));
  return rows;
}

function policiesOf(input: CreateBatch): Batch['policies'] {
  const { max_attempts, backoff, item_timeout_ms, failure_budget, canary, rate_limit, recovery } = {
    ...DEFAULT_POLICIES,
    ...input,
  };
  return {
    max_attempts: max_attempts ?? DEFAULT_POLICIES.max_attempts,
    backoff: backoff ?? DEFAULT_POLICIES.backoff,
    item_timeout_ms: item_timeout_ms ?? DEFAULT_POLICIES.item_timeout_ms,
    failure_budget: failure_budget ?? null,
    canary: canary ?? null,
    rate_limit: rate_limit ?? null,
    recovery: recovery ?? null,
  };
}

function hashOf(body: unknown): string {
  return createHash('sha256').update(JSON.stringify(body)).digest('hex');
}

/** @throws invalid for what is no item at all. */
function asItem(incoming: IncomingItem, pointer: string): IncomingItem {
  if (typeof incoming === 'object' && incoming !== null && !Array.isArray(incoming)) return incoming;
  return check(newItemSchema, incoming, pointer);
}

/** Which of the rows the Store refused for its file, counted from 0; null when it was not that. */
function wrongRow(error: unknown, count: number): number | null {
  if (!(error instanceof SheafError) || error.code !== 'invalid') return null;
  const [first] = (error.details.errors ?? []) as FieldError[];
  const index = Number(/^\/items\/(\d+)\/file_id$/.exec(first?.pointer ?? '')?.[1] ?? Number.NaN);
  return index < count ? index : null;
}

function noFile(row: ItemRow | undefined): { code: string; message: string } {
  const id = String(row?.file_id).slice(0, 60);
  return { code: 'not_found', message: `No file ${id}; upload it first.` };
}

function withAccepted(error: unknown, accepted: number): unknown {
  if (!(error instanceof SheafError)) return error;
  return new SheafError(error.code, error.message, { ...error.details, accepted }, error.cause);
}
