import type { ColumnTypes } from '../dialect.ts';

/** Batches may be held to a number of starts in a stretch of time. Those from before have no limit. */
export function rateLimit({ integer, text }: ColumnTypes): string[] {
  return [
    `alter table batch add column rate_starts ${text}`,
    `alter table batch add column rate_per_ms ${integer}`,
    `alter table batch add column next_start_at ${integer}`,
    `update batch set policies = substr(policies, 1, length(policies) - 1) || ',"rate_limit":null}'`,
  ];
}
