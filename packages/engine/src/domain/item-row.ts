import { MAX_ITEM_JSON_BYTES, type NewItem, newItemSchema } from '@sheaf/protocol';
import type { z } from 'zod';
import { fieldErrors, invalid } from './check.ts';

/** An item as the Store takes it. */
export type ItemRow = {
  name: string | null;
  key: string | null;
  input: string | null;
  file_id: string | null;
};

const KNOWN = new Set(['name', 'key', 'input', 'file_id']);

/** Names that need no closer look: printable ASCII with something to see. */
const PLAIN_NAME = /^[ -~]{0,254}[!-~]$/;

/**
 * Checks an item and makes its row. Ten million come through here, so the plain ones pass a few
 * comparisons, and only what looks odd goes to the schema, which accepts or explains it.
 *
 * @param inputSchema The processor's; null when it takes any JSON value.
 * @throws invalid with pointers below `pointer`.
 */
export function toItemRow(item: NewItem, inputSchema: z.ZodType | null, pointer: string): ItemRow {
  const checked = isPlain(item) ? item : careful(item, pointer);
  const value =
    inputSchema === null ? checked.input : checkInput(inputSchema, checked.input ?? null, pointer);
  const input = value === undefined || value === null ? null : JSON.stringify(value);
  if (input !== null && input.length > MAX_ITEM_JSON_BYTES) {
    const message = 'The input is larger than 256 KiB; upload a file instead.';
    throw invalid([{ pointer: `${pointer}/input`, code: 'too_large', message }]);
  }
  return { name: checked.name ?? null, key: checked.key ?? null, input, file_id: checked.file_id ?? null };
}

function isPlain(item: NewItem): boolean {
  if (typeof item !== 'object' || item === null || Array.isArray(item)) return false;
  for (const key in item) if (!KNOWN.has(key)) return false;
  const { name, key, file_id } = item;
  if (name !== undefined && !(typeof name === 'string' && PLAIN_NAME.test(name))) return false;
  if (key !== undefined && !(typeof key === 'string' && key.length > 0 && key.length <= 255)) return false;
  return file_id === undefined || typeof file_id === 'string';
}

function careful(item: unknown, pointer: string): NewItem {
  const result = newItemSchema.safeParse(item);
  if (result.success) return result.data;
  throw invalid(fieldErrors(result.error, pointer));
}

function checkInput(schema: z.ZodType, value: unknown, pointer: string): unknown {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw invalid(fieldErrors(result.error, `${pointer}/input`));
}
