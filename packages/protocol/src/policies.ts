import { z } from 'zod';
import { MAX_CONCURRENCY, MAX_ITEMS } from './limits.ts';

export const prioritySchema = z.int().min(0).max(9);
export const concurrencySchema = z.int().min(1).max(MAX_CONCURRENCY);

/** How long a retryable failure waits: `base_ms · 2^(attempt−1)`, at most `max_ms`, with jitter. */
export const backoffSchema = z.strictObject({
  base_ms: z.int().min(0).max(3_600_000),
  max_ms: z.int().min(0).max(86_400_000),
});

/** Pauses the batch once this many items, or this share of the finished ones, have failed. */
export const failureBudgetSchema = z
  .strictObject({
    count: z.int().min(1).max(MAX_ITEMS).optional(),
    percent: z.number().min(0).max(100).optional(),
    min_items: z.int().min(1).max(MAX_ITEMS).optional(),
  })
  .refine((budget) => (budget.count === undefined) !== (budget.percent === undefined), {
    message: 'Give either count or percent.',
  });

/** Runs this many items first, then waits for approval or for the share that must pass. */
export const canarySchema = z.strictObject({
  items: z.int().min(1).max(MAX_ITEMS),
  min_pass_percent: z.number().min(0).max(100).optional(),
});

/** At most this many attempts are handed to a slot, to start at once, in any stretch of `per_ms`, wherever they run. */
export const rateLimitSchema = z.strictObject({
  items: z.int().min(1).max(MAX_ITEMS),
  per_ms: z.int().min(100).max(86_400_000),
});

export const recoverySchema = z.enum(['resume', 'review']);

/** The rules a batch runs by; every field has a default. */
export const policiesSchema = z.strictObject({
  max_attempts: z.int().min(1).max(100),
  backoff: backoffSchema,
  item_timeout_ms: z.int().min(1).max(86_400_000),
  failure_budget: failureBudgetSchema.nullable(),
  canary: canarySchema.nullable(),
  rate_limit: rateLimitSchema.nullable(),
  recovery: recoverySchema.nullable(),
});

export type Backoff = z.infer<typeof backoffSchema>;
export type FailureBudget = z.infer<typeof failureBudgetSchema>;
export type Canary = z.infer<typeof canarySchema>;
export type RateLimit = z.infer<typeof rateLimitSchema>;
export type RecoveryPolicy = z.infer<typeof recoverySchema>;
export type Policies = z.infer<typeof policiesSchema>;

/** What a batch runs by when nobody says otherwise. */
export const DEFAULT_POLICIES = {
  max_attempts: 3,
  backoff: { base_ms: 1_000, max_ms: 300_000 },
  item_timeout_ms: 600_000,
  failure_budget: null,
  canary: null,
  rate_limit: null,
  recovery: null,
} as const satisfies Policies;
