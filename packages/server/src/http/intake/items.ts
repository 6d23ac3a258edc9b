import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import type { IncomingItem } from '@sheaf/engine';
import { type FieldError, MAX_ITEMS, newItemSchema, SheafError } from '@sheaf/protocol';
import { z } from 'zod';
import { MAX_FIELD_ERRORS } from '../problem.ts';
import { fieldErrors, invalid } from '../validate.ts';

const base64Schema = z.string().superRefine((text, context) => {
  if (text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text)) return;
  context.addIssue({ code: 'custom', message: 'It must be base64.', params: { code: 'invalid_base64' } });
});

/** An item of a JSON body: what every caller may say, or the bytes themselves as base64. */
const itemSchema = newItemSchema
  .extend({ data: base64Schema.optional() })
  .refine(({ data, file_id }) => data === undefined || file_id === undefined, {
    path: ['data'],
    message: 'Give either data or file_id.',
  });

export type JsonItem = z.infer<typeof itemSchema>;

/** The items that are right, and what is wrong with the others: the first hundred, and how many. */
type CheckedItems = { items: JsonItem[]; errors: FieldError[]; count: number };

/** Who has this many mistakes in one body has made one mistake many times. */
const ENOUGH_ERRORS = 10_000;

/** Items after which others get their turn: half a million take seconds, and leases must be renewed. */
const BREATH = 5_000;

/** Checks items one by one: a million wrong ones must not cost a million error objects. */
export async function checkItems(
  list: readonly unknown[],
  prefix: readonly PropertyKey[],
): Promise<CheckedItems> {
  if (list.length > MAX_ITEMS) {
    throw new SheafError('too_many_items', `A batch has at most ${MAX_ITEMS} items.`, { limit: MAX_ITEMS });
  }
  const checked: CheckedItems = { items: [], errors: [], count: 0 };
  for (const [index, value] of list.entries()) {
    if (index % BREATH === BREATH - 1) await setImmediate();
    const parsed = itemSchema.safeParse(value);
    if (parsed.success) {
      checked.items.push(parsed.data);
      continue;
    }
    const errors = fieldErrors(parsed.error.issues, newItemSchema, [...prefix, index]);
    checked.count += errors.length;
    if (checked.errors.length < MAX_FIELD_ERRORS) checked.errors.push(...errors);
    if (checked.count >= ENOUGH_ERRORS) break;
  }
  return checked;
}

/** @throws invalid with a pointer into the list. */
export async function parseItems(list: readonly unknown[]): Promise<JsonItem[]> {
  const { items, errors, count } = await checkItems(list, []);
  if (count > 0) throw invalid(errors, 'invalid', count);
  return items;
}

/** Makes the bytes of `data` the item's content; they are decoded when their turn comes. */
export function* withContent(items: Iterable<JsonItem>): Generator<IncomingItem> {
  for (const { data, ...item } of items)
    yield data === undefined ? item : { ...item, content: decoded(data) };
}

export function decoded(data: string): Readable {
  return Readable.from([Buffer.from(data, 'base64')], { objectMode: false });
}
