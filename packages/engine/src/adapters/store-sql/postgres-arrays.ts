/** One column of many rows, as PostgreSQL reads an array. */
export type Column = { type: 'bigint' | 'text'; values: readonly unknown[] };

const SPECIAL = /["\\]/;
const EACH_SPECIAL = /["\\]/g;

/**
 * An array literal. The driver's own builder works value by value through several functions, which
 * costs more than the statement itself when rows come by the thousand.
 */
export function arrayLiteral({ type, values }: Column): string {
  const texts = type === 'bigint' ? values.map(integerText) : values.map(quotedText);
  return `{${texts.join(',')}}`;
}

function integerText(value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  if (typeof value === 'boolean') return value ? '1' : '0';
  return String(value);
}

function quotedText(value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  const text = String(value);
  return `"${SPECIAL.test(text) ? text.replace(EACH_SPECIAL, '\\$&') : text}"`;
}
