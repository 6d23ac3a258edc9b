import { isLonger, MAX_ITEM_JSON_BYTES, type NewItem, newItemSchema, type SheafError } from '@sheaf/protocol';
import type { z } from 'zod';
import { check, invalid } from './check.ts';

/** An item as the Store takes it. */
export type ItemRow = {
  name: string | null;
  key: string | null;
  input: string | null;
  file_id: string | null;
};

const KNOWN = new Set(['name', 'key', 'input', 'file_id']);

/** Names and keys that need no closer look: printable ASCII with something to see. */
const PLAIN_NAME = /^[ -~]{0,254}[!-~]$/;

/** Inputs nested deeper get the closer look, which has an end of its own. */
const PLAIN_DEPTH = 16;

/**
 * Checks an item and makes its row. Ten million come through here, so the plain ones pass a few
 * comparisons, and only what looks odd goes to the schema, which accepts or explains it.
 *
 * @param inputSchema The processor's; null when it takes any JSON value.
 * @throws invalid with pointers below `pointer`.
 */
export function toItemRow(item: NewItem, inputSchema: z.ZodType | null, pointer: string): ItemRow {
  const checked = isPlain(item) ? item : check(newItemSchema, item, pointer);
  const value =
    inputSchema === null ? checked.input : check(inputSchema, checked.input ?? null, `${pointer}/input`);
  const input = value === undefined || value === null ? null : toJson(value, pointer);
  return { name: checked.name ?? null, key: checked.key ?? null, input, file_id: checked.file_id ?? null };
}

/** What the schema of a processor made of an input may be anything. */
function toJson(value: unknown, pointer: string): string {
  let json: string | undefined;
  try {
    json = JSON.stringify(value);
  } catch {
    // A BigInt, a circle, a toJSON that throws: no JSON either way.
  }
  if (json === undefined) throw wrongInput(pointer, 'invalid', 'The input is not JSON.');
  if (isLonger(json, MAX_ITEM_JSON_BYTES)) {
    throw wrongInput(pointer, 'too_large', 'The input is larger than 256 KiB; upload a file instead.');
  }
  return json;
}

function wrongInput(pointer: string, code: string, message: string): SheafError {
  return invalid([{ pointer: `${pointer}/input`, code, message }]);
}

function isPlain(item: NewItem): boolean {
  if (typeof item !== 'object' || item === null || Array.isArray(item)) return false;
  for (const key in item) if (!KNOWN.has(key)) return false;
  const { name, key, input, file_id } = item;
  if (name !== undefined && !(typeof name === 'string' && PLAIN_NAME.test(name))) return false;
  if (key !== undefined && !(typeof key === 'string' && PLAIN_NAME.test(key))) return false;
  if (file_id !== undefined && typeof file_id !== 'string') return false;
  return input === undefined || isPlainJson(input, PLAIN_DEPTH);
}

/** Whether a value is JSON beyond doubt: nothing nested deep, nothing with a prototype of its own. */
function isPlainJson(value: unknown, depth: number): boolean {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return true;
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value !== 'object' || depth === 0) return false;
  if (Array.isArray(value)) return value.every((inner) => isPlainJson(inner, depth - 1));
  if (Object.getPrototypeOf(value) !== Object.prototype) return false;
  for (const key in value) {
    if (key === '__proto__' || !isPlainJson((value as Record<string, unknown>)[key], depth - 1)) return false;
  }
  return true;
}
