import {
  allowedActions,
  type Batch,
  isActive,
  type Json,
  type Policies,
  percentComplete,
} from '@sheaf/protocol/words';
import { sql } from 'kysely';
import type { Db } from './dialect.ts';
import type { BatchRow } from './session.ts';

/** A batch's row as everybody sees it. Items at work are read from its leases. */
export async function toBatch(db: Db, row: BatchRow): Promise<Batch> {
  const [batch] = await toBatches(db, [row]);
  if (batch === undefined) throw new Error('A row makes a batch.');
  return batch;
}

export async function toBatches(db: Db, rows: readonly BatchRow[]): Promise<Batch[]> {
  const running = await runningItems(db, rows);
  return rows.map((row) => envelope(row, running.get(row.no) ?? 0));
}

/** Leased but unstarted reads as pending: a lease runs at most `width` of the items it holds. */
async function runningItems(db: Db, rows: readonly BatchRow[]): Promise<Map<number, number>> {
  if (rows.length === 0) return new Map();
  const found = await db
    .selectFrom('lease')
    .innerJoin('batch', (join) =>
      join.onRef('batch.no', '=', 'lease.batch_no').onRef('batch.epoch', '=', 'lease.epoch'),
    )
    .select([
      'lease.batch_no',
      sql<number>`sum(case when lease.width < lease."left" then lease.width else lease."left" end)`.as(
        'running',
      ),
    ])
    .where(
      'lease.batch_no',
      'in',
      rows.map((row) => row.no),
    )
    .groupBy('lease.batch_no')
    .execute();
  return new Map(found.map((row) => [row.batch_no, Number(row.running)]));
}

function envelope(row: BatchRow, running: number): Batch {
  const ended = row.completed_items + row.failed_items + row.cancelled_items + row.skipped_items;
  return {
    id: row.id,
    space: row.space,
    name: row.name,
    description: row.description,
    status: row.status,
    pause_reason: row.pause_reason,
    paused_by: row.paused_by,
    round: row.round,
    processor: row.processor,
    processor_version: row.processor_version,
    pool: row.pool,
    config: parse<Record<string, Json>>(row.config),
    template_id: row.template_id,
    customer_prefix: row.customer_prefix,
    batch_date: row.batch_date,
    batch_counter: row.batch_counter,
    base_directory_name: row.base_directory_name,
    session_id: row.session_id,
    labels: parse<Record<string, string>>(row.labels),
    metadata: parse<Record<string, Json>>(row.metadata),
    external_ids: parse<Record<string, string>>(row.external_ids),
    open: row.open === 1,
    total_items: row.total_items,
    pending_items: row.total_items - ended - running,
    running_items: running,
    completed_items: row.completed_items,
    failed_items: row.failed_items,
    cancelled_items: row.cancelled_items,
    skipped_items: row.skipped_items,
    total_bytes: row.total_bytes,
    done_bytes: row.done_bytes,
    percent_complete: percentComplete(ended, row.total_items),
    concurrency: row.concurrency,
    priority: row.priority,
    policies: parse<Policies>(row.policies),
    merged_into: row.merged_into,
    created_by: row.created_by,
    created_at: row.created_at,
    updated_at: row.updated_at,
    started_at: row.started_at,
    paused_at: row.paused_at,
    completed_at: row.completed_at,
    ran_ms: row.ran_ms + (row.running_since === null ? 0 : Math.max(0, row.updated_at - row.running_since)),
    metrics: parse<Batch['metrics']>(row.metrics),
    event_seq: row.event_seq,
    next_start_at: isActive(row.status) ? row.next_start_at : null,
    waiting_for: null,
    allowed_actions: allowedActions(row.status),
  };
}

/** JSON that this Store wrote itself. */
export function parse<T>(text: string): T {
  return JSON.parse(text) as T;
}
