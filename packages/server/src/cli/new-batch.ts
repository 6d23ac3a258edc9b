import { readFileSync } from 'node:fs';
import type { Client } from '@sheaf/client';
import { type CreateBatch, type Json, nearest } from '@sheaf/protocol';
import { failure } from './failure.ts';
import {
  parseCanary,
  parseDuration,
  parseFailureBudget,
  parsePairs,
  parseParams,
  parsePriority,
  parseRateLimit,
  parseWhole,
} from './values.ts';

/** What `run` can be told of the batch it makes, as it was typed. */
export type BatchFlags = {
  name?: string;
  customer?: string;
  label?: string[];
  param?: string[];
  params?: string;
  canary?: string;
  concurrency?: string;
  maxAttempts?: string;
  itemTimeout?: string;
  failureBudget?: string;
  priority?: string;
  rateLimit?: string;
  recovery?: 'resume' | 'review';
};

/** Checks the flags and turns them into the call that makes the batch, but for what it runs. */
export function batchFrom(flags: BatchFlags): CreateBatch {
  const config = {
    ...(flags.params !== undefined && readParams(flags.params)),
    ...parseParams(flags.param ?? []),
  };
  return {
    ...(flags.name !== undefined && { name: flags.name }),
    ...(flags.customer !== undefined && { customer_prefix: flags.customer }),
    ...(flags.label !== undefined && { labels: parsePairs(flags.label, '--label') }),
    ...(Object.keys(config).length > 0 && { config }),
    ...(flags.canary !== undefined && { canary: parseCanary(flags.canary) }),
    ...(flags.concurrency !== undefined && {
      concurrency: parseWhole(flags.concurrency, '--concurrency', 1, 1_000),
    }),
    ...(flags.maxAttempts !== undefined && {
      max_attempts: parseWhole(flags.maxAttempts, '--max-attempts', 1, 100),
    }),
    ...(flags.itemTimeout !== undefined && {
      item_timeout_ms: parseDuration(flags.itemTimeout, '--item-timeout'),
    }),
    ...(flags.failureBudget !== undefined && { failure_budget: parseFailureBudget(flags.failureBudget) }),
    ...(flags.priority !== undefined && { priority: parsePriority(flags.priority) }),
    ...(flags.rateLimit !== undefined && { rate_limit: parseRateLimit(flags.rateLimit) }),
    ...(flags.recovery !== undefined && { recovery: flags.recovery }),
  };
}

function readParams(path: string): Record<string, Json> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw failure(
      'no_input',
      `cannot read ${path} (${error instanceof Error ? error.message : 'no reason given'})`,
    );
  }
  try {
    const value: Json = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  } catch (error) {
    throw failure('usage', `${path} is not JSON (${error instanceof Error ? error.message : 'broken'})`);
  }
  throw failure('usage', `${path} is not a JSON object`, 'for example {"width": 320}');
}

/**
 * What a word runs: a template, else a processor.
 *
 * @throws unknown_processor with the nearest names when it is neither.
 */
export async function whatRuns(
  client: Client,
  word: string,
): Promise<{ template_id: string } | { processor: string }> {
  const [templates, processors] = await Promise.all([client.templates(), client.processors()]);
  if (templates.some(({ id }) => id === word)) return { template_id: word };
  const [name, version] = word.split('@');
  if (
    processors.some(
      (processor) => processor.name === name && (version === undefined || processor.version === version),
    )
  ) {
    return { processor: name ?? word };
  }
  const known = [...templates.map(({ id }) => id), ...processors.map((processor) => processor.name)];
  throw failure('unknown_processor', `there is no processor or template "${word}"`, hintFor(word, known));
}

function hintFor(word: string, known: readonly string[]): string {
  const near = nearest(word, known);
  return near.length > 0 ? `did you mean ${near.join(', ')}?` : 'sheaf processor list, sheaf template list';
}
