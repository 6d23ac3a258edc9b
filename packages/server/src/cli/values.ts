import { type Json, type RateLimit, rateLimitSchema } from '@sheaf/protocol';
import { failure } from './failure.ts';

/** `10m`, `30s`, `1h`, `2d`, `500ms`; a bare number is seconds. */
export function parseDuration(text: string, option: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?$/.exec(text.trim());
  const ms = Number(match?.[1]) * (UNIT_MS[match?.[2] ?? 's'] ?? Number.NaN);
  if (!Number.isFinite(ms)) {
    throw failure(
      'usage',
      `${option} takes a time, not "${text}"`,
      `for example ${option} 10m (ms, s, m, h, d)`,
    );
  }
  return Math.round(ms);
}

const UNIT_MS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A whole number within its limits. */
export function parseWhole(text: string, option: string, least: number, most: number): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < least || number > most) {
    throw failure('usage', `${option} takes a whole number from ${least} to ${most}, not "${text}"`);
  }
  return number;
}

/** `low`, `normal`, `high` or 0–9; higher goes first. */
export function parsePriority(text: string): number {
  const named = PRIORITIES[text.toLowerCase()];
  if (named !== undefined) return named;
  if (!/^\d$/.test(text)) throw failure('usage', `a priority is low, normal, high or 0–9, not "${text}"`);
  return Number(text);
}

const PRIORITIES: Record<string, number> = { low: 2, normal: 5, high: 8 };

/** `20` or `20:95%`: try so many first, and go on when this share passes. */
export function parseCanary(text: string): { items: number; min_pass_percent?: number } {
  const match = /^(\d+)(?::(\d+(?:\.\d+)?)%?)?$/.exec(text);
  const items = Number(match?.[1]);
  const pass = match?.[2] === undefined ? null : Number(match[2]);
  if (!(items >= 1) || (pass !== null && pass > 100)) {
    throw failure(
      'usage',
      `--canary takes a number of items, not "${text}"`,
      'for example --canary 20 or --canary 20:95%',
    );
  }
  return pass === null ? { items } : { items, min_pass_percent: pass };
}

/** `20%` of the finished items, or `50` items. */
export function parseFailureBudget(text: string): { percent: number } | { count: number } {
  const match = /^(\d+(?:\.\d+)?)(%?)$/.exec(text);
  const value = Number(match?.[1]);
  const isShare = match?.[2] === '%';
  if (match === null || (isShare ? value > 100 : !Number.isInteger(value) || value < 1)) {
    throw failure(
      'usage',
      `--failure-budget takes a share or a number of items, not "${text}"`,
      'for example --failure-budget 20% or --failure-budget 50',
    );
  }
  return isShare ? { percent: value } : { count: value };
}

/** `10/s`, `100/m`, `5/10s`: so many items may start in such a time; `none` lifts the limit. */
export function parseRateLimit(text: string): RateLimit | null {
  if (text === 'none') return null;
  const match = /^(\d+)\/(\d*)(ms|s|m|h|d)$/.exec(text);
  const items = Number(match?.[1]);
  const perMs = Number(match?.[2] || 1) * (UNIT_MS[match?.[3] ?? ''] ?? Number.NaN);
  const limit = rateLimitSchema.safeParse({ items, per_ms: perMs });
  if (limit.success) return limit.data;
  throw failure(
    'usage',
    `--rate-limit takes 1 to 10,000,000 items in a time of 100 ms to a day, not "${text}"`,
    'for example --rate-limit 10/s, --rate-limit 500/h, --rate-limit 5/10s or --rate-limit none',
  );
}

/** `KEY=VALUE` pairs as an object; later ones win. */
export function parsePairs(pairs: readonly string[], option: string): Record<string, string> {
  const result: Record<string, string> = Object.create(null);
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    if (at < 1) throw failure('usage', `${option} takes KEY=VALUE, not "${pair}"`);
    result[pair.slice(0, at)] = pair.slice(at + 1);
  }
  return { ...result };
}

/** `-p` values: JSON where it is JSON (`320`, `true`, `["a"]`), else text. */
export function parseParams(pairs: readonly string[]): Record<string, Json> {
  const texts = Object.entries(parsePairs(pairs, '-p'));
  return Object.fromEntries(texts.map(([key, text]) => [key, jsonOrText(text)]));
}

function jsonOrText(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return text;
  }
}

/** `7d`, `12h`, or a date: the moment from which on to look. */
export function parseSince(text: string, now: number): string {
  if (/^\d+(?:\.\d+)?(?:ms|s|m|h|d)$/.test(text)) {
    return new Date(now - parseDuration(text, '--since')).toISOString();
  }
  const at = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) {
    throw failure(
      'usage',
      `--since takes a time ago or a date, not "${text}"`,
      'for example --since 7d or --since 2026-11-01',
    );
  }
  return new Date(at).toISOString();
}
