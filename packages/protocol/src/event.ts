import type { Eta } from './progress.ts';
import type { BatchStatus, PauseReason } from './states.ts';
import type { Json } from './text.ts';

/** Stored with the move they tell of, in one transaction; `seq` counts without gaps per batch. */
export type StoredEvent = { seq: number; at: number; batch_id: string } & (
  | { type: 'batch_created'; name: string; total_items: number }
  | { type: 'batch_status'; status: BatchStatus; pause_reason: PauseReason | null; by: string }
  | { type: 'batch_changed'; fields: string[]; by: string }
  | { type: 'items_added'; count: number; total_items: number }
  | { type: 'items_retried'; count: number; round: number; by: string }
  | { type: 'item_removed'; item_seq: number; by: string }
  | { type: 'batch_deleted'; by: string }
);

/** News that may be dropped: the next one, or a read of the batch, tells the same. */
export type LiveEvent =
  | {
      type: 'batch_progress';
      batch_id: string;
      seq: number;
      status: BatchStatus;
      total: number;
      completed: number;
      failed: number;
      running: number;
      percent_complete: number;
      estimated_time_remaining_ms: Eta | null;
      items_per_second: number;
      bytes_per_second: number;
    }
  | { type: 'batch_jobs_complete'; batch_id: string; jobs: ItemDone[] }
  | { type: 'item_progress'; batch_id: string; seq: number; step: string; percent: number | null };

/** An item that ended: `job_id` is `bat_…/17`. */
export type ItemDone = { job_id: string; success: boolean; result: Json };

export type SheafEvent = StoredEvent | LiveEvent;

/** What a live connection can listen to. */
export const TOPIC_PATTERN = /^(?:batches|(?:batch|items):bat_[0-9a-z]{26})$/;
