import { createHash, randomBytes } from 'node:crypto';
import { DEFAULT_CONCURRENCY, DEFAULT_POLICIES, DEFAULT_PRIORITY, makeId } from '@sheaf/protocol';
import type { BatchPulse, LeasedItem, Outcome, OutputRow } from '../ports/leasing.ts';
import type { FileRow, NewBatch, NewItemRow } from '../ports/store.ts';

/** What a test says of a new batch: any field, and of the policies only those that matter to it. */
export type BatchFields = Partial<Omit<NewBatch, 'policies'>> & { policies?: Partial<NewBatch['policies']> };

export function makeBatch(fields: BatchFields = {}): NewBatch {
  const { policies, ...rest } = fields;
  return {
    id: makeId('bat', Date.UTC(2026, 10, 5, 12), randomBytes(10)),
    space: 'default',
    name: 'holiday pictures',
    description: '',
    processor: 'photos.develop',
    processor_version: '1.0.0',
    pool: 'default',
    config: {},
    template_id: null,
    customer_prefix: null,
    session_id: null,
    labels: {},
    metadata: {},
    external_ids: {},
    concurrency: DEFAULT_CONCURRENCY,
    priority: DEFAULT_PRIORITY,
    requires_approval: false,
    open: false,
    created_by: 'tester',
    ...rest,
    policies: { ...DEFAULT_POLICIES, ...policies },
  };
}

export function makeItem(fields: Partial<NewItemRow> = {}): NewItemRow {
  return { name: null, key: null, input: null, file_id: null, ...fields };
}

/** Items whose input tells them apart: `{"n":1}`, `{"n":2}` … */
export function makeItems(count: number): NewItemRow[] {
  return Array.from({ length: count }, (_, index) =>
    makeItem({ name: `picture-${index + 1}.png`, input: JSON.stringify({ n: index + 1 }) }),
  );
}

/** The numbers of a running batch of a hundred items. */
export function makePulse(fields: Partial<BatchPulse> = {}): BatchPulse {
  return {
    id: 'bat_1',
    space: 'default',
    status: 'running',
    concurrency: DEFAULT_CONCURRENCY,
    priority: DEFAULT_PRIORITY,
    rate_limit: null,
    total_items: 100,
    completed_items: 0,
    failed_items: 0,
    skipped_items: 0,
    cancelled_items: 0,
    running_items: 0,
    done_bytes: 0,
    ran_ms: 0,
    event_seq: 1,
    ...fields,
  };
}

/** What a test says of an outcome; `ready_at` is when the next attempt of a `retry` is due. */
export type OutcomeFields = Partial<Outcome> & { ready_at?: number };

/** The outcome of an attempt at a leased item: completed, unless the fields say otherwise. */
export function makeOutcome(item: LeasedItem, { ready_at = 0, ...fields }: OutcomeFields = {}): Outcome {
  const { seq, attempt, last_attempt, priority, config_no } = item;
  const status = fields.status ?? 'completed';
  const completed = status === 'completed';
  return {
    seq,
    attempt,
    status,
    config_no,
    result: completed ? JSON.stringify({ seq }) : null,
    error: completed ? null : { kind: 'retryable', code: 'broken', message: 'The picture is broken.' },
    cause: completed ? null : 'broken: The picture is broken.',
    retry: status === 'retry' ? { ready_at, last_attempt, priority } : null,
    metrics: null,
    outputs: null,
    log: null,
    bytes: item.file?.bytes ?? 0,
    started_at: Date.UTC(2026, 10, 5, 12),
    duration_ms: 20,
    ...fields,
  };
}

/** A file that is told apart from others by its text. */
export function makeFile(text: string, fields: Partial<FileRow> = {}): FileRow {
  return {
    id: makeId('fil', Date.UTC(2026, 10, 5, 12), randomBytes(10)),
    space: 'default',
    name: `${text}.png`,
    media_type: 'image/png',
    created_at: Date.UTC(2026, 10, 5, 12),
    ...bytesOf(text),
    ...fields,
  };
}

export function makeOutput(text: string, fields: Partial<OutputRow> = {}): OutputRow {
  return {
    id: makeId('fil', Date.UTC(2026, 10, 5, 12), randomBytes(10)),
    name: `${text}.webp`,
    media_type: 'image/webp',
    ...bytesOf(text),
    ...fields,
  };
}

function bytesOf(text: string): { sha256: string; bytes: number } {
  return { sha256: createHash('sha256').update(text).digest('hex'), bytes: Buffer.byteLength(text) };
}
