/** One column of many rows, as PostgreSQL reads an array. */
export type Column = { type: 'bigint' | 'text'; values: readonly unknown[] };

/** What JSON escapes in a way of its own; inside quotes PostgreSQL knows only `\"` and `\\`. */
const OF_JSON = /\\[bfnrtu]/;
const EACH_SPECIAL = /["\\]/g;

/**
 * An array literal: for nearly all values a list in JSON with other brackets. To write it value by
 * value costs five times as much, and more than the statement itself when rows come by the thousand.
 */
export function arrayLiteral(values: readonly unknown[]): string {
  const json = JSON.stringify(values);
  return OF_JSON.test(json) ? `{${values.map(quoted).join(',')}}` : `{${json.slice(1, -1)}}`;
}

function quoted(value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  return `"${String(value).replace(EACH_SPECIAL, '\\$&')}"`;
}
