import { z } from 'zod';
import { newItemSchema } from './item.ts';
import { MAX_ITEMS } from './limits.ts';
import {
  backoffSchema,
  canarySchema,
  concurrencySchema,
  failureBudgetSchema,
  type Policies,
  policiesSchema,
  prioritySchema,
  rateLimitSchema,
  recoverySchema,
} from './policies.ts';
import type { Eta } from './progress.ts';
import type { BatchAction, BatchStatus, PauseReason } from './states.ts';
import { type Json, jsonSchema, metadataSchema, nameProblem, nameSchema, plainText } from './text.ts';

const labelsSchema = z
  .record(z.string().min(1).max(63), z.string().max(255))
  .refine((labels) => Object.keys(labels).length <= 64, { message: 'At most 64 labels.' });

/** It begins the name of a directory, so it is held to the rule for names. */
const prefixSchema = z
  .string()
  .max(100)
  .refine((text) => nameProblem(text) === null, { message: 'A prefix is 1–100 printable characters.' });

const configSchema = z.record(z.string(), jsonSchema);

/** What a caller may say of a new batch, but for its items. Unknown fields are refused by name. */
export const createBatchSchema = z.strictObject({
  name: nameSchema.optional(),
  description: plainText(10_000).optional(),
  processor: z.string().min(1).max(255).optional(),
  template_id: z.string().min(1).max(255).optional(),
  config: configSchema.optional(),
  items: z.array(newItemSchema).max(MAX_ITEMS).optional(),
  start: z.boolean().optional(),
  open: z.boolean().optional(),
  requires_approval: z.boolean().optional(),
  concurrency: concurrencySchema.optional(),
  priority: prioritySchema.optional(),
  max_attempts: policiesSchema.shape.max_attempts.optional(),
  backoff: backoffSchema.optional(),
  item_timeout_ms: policiesSchema.shape.item_timeout_ms.optional(),
  failure_budget: failureBudgetSchema.nullable().optional(),
  canary: canarySchema.nullable().optional(),
  rate_limit: rateLimitSchema.nullable().optional(),
  recovery: recoverySchema.nullable().optional(),
  customer_prefix: prefixSchema.optional(),
  session_id: z.int().min(0).optional(),
  labels: labelsSchema.optional(),
  metadata: metadataSchema.optional(),
  external_ids: z.record(z.string().max(100), z.string().max(255)).optional(),
});

export type CreateBatch = z.infer<typeof createBatchSchema>;

/** What of a batch may be changed later. Its config only while it is a draft. */
export const updateBatchSchema = z.strictObject({
  name: nameSchema.optional(),
  description: plainText(10_000).optional(),
  labels: labelsSchema.optional(),
  metadata: metadataSchema.optional(),
  priority: prioritySchema.optional(),
  concurrency: concurrencySchema.optional(),
  rate_limit: rateLimitSchema.nullable().optional(),
  config: configSchema.optional(),
});

export type UpdateBatch = z.infer<typeof updateBatchSchema>;

/** Which items to send back to work; nothing named means all failed ones. */
export const retrySchema = z.strictObject({
  items: z.array(z.int().min(1)).min(1).max(100_000).optional(),
  cause: z.string().min(1).max(500).optional(),
  status: z
    .array(z.enum(['failed', 'cancelled']))
    .min(1)
    .optional(),
  config: configSchema.optional(),
});

export type Retry = z.infer<typeof retrySchema>;

export const pauseSchema = z.strictObject({
  mode: z.enum(['drain', 'now']).optional(),
  force: z.boolean().optional(),
});

/** The counters of a batch. They always add up: the parts are the total, at every moment. */
export type Counts = {
  total_items: number;
  pending_items: number;
  running_items: number;
  completed_items: number;
  failed_items: number;
  cancelled_items: number;
  skipped_items: number;
};

/** A batch as everybody sees it. Times are milliseconds; the wire has ISO 8601 (`toWire`). */
export type Batch = Counts & {
  id: string;
  space: string;
  name: string;
  description: string;
  status: BatchStatus;
  pause_reason: PauseReason | null;
  /** Who paused it, for `user`. */
  paused_by: string | null;
  round: number;
  processor: string;
  processor_version: string;
  /** The pool of a cluster whose workers run it. */
  pool: string;
  config: Record<string, Json>;
  template_id: string | null;
  customer_prefix: string | null;
  batch_date: string;
  batch_counter: number;
  base_directory_name: string;
  session_id: number | null;
  labels: Record<string, string>;
  metadata: Record<string, Json>;
  external_ids: Record<string, string>;
  open: boolean;
  total_bytes: number;
  done_bytes: number;
  percent_complete: number;
  concurrency: number;
  priority: number;
  policies: Policies;
  merged_into: string | null;
  created_by: string;
  created_at: number;
  updated_at: number;
  started_at: number | null;
  paused_at: number | null;
  completed_at: number | null;
  /** Running time so far: pauses, and the time between two rounds, do not count. */
  ran_ms: number;
  /** Sums of what the processor reported. */
  metrics: Record<string, { sum: number; count: number; min: number; max: number }>;
  /** The number of the last stored event, where live updates go on. */
  event_seq: number;
  /** When its rate limit lets the next item start, if that was reached; a time that is past holds nothing up. */
  next_start_at: number | null;
  /** Why it does not run just now, in words. */
  waiting_for: string | null;
  allowed_actions: BatchAction[];
};

/** Items that failed for the same reason. */
export type Cause = {
  cause: string;
  code: string;
  /** The message of one of them. */
  message: string;
  count: number;
  first_at: number;
  last_at: number;
  /** Names of the first few. */
  samples: string[];
};

/** The short, often asked view of a batch at work. */
export type Progress = {
  id: string;
  name: string;
  status: BatchStatus;
  total: number;
  completed: number;
  failed: number;
  percent_complete: number;
  estimated_time_remaining_ms: Eta | null;
  items_per_second: number;
  bytes_per_second: number;
  running: { seq: number; name: string; step: string | null; percent: number | null }[];
};
