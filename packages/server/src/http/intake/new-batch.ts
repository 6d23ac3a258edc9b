import { type CreateBatch, createBatchSchema, type FieldError, type Json, SheafError } from '@sheaf/protocol';
import { parseJson } from '../body/strict-json.ts';
import { pointer } from '../json-pointer.ts';
import { fieldErrors, invalid, validate } from '../validate.ts';
import { checkItems, type JsonItem } from './items.ts';

/** A new batch as a body says it: all but the items, and these if there are any. */
export type NewBatch = { head: Omit<CreateBatch, 'items'>; items: JsonItem[] | undefined };

const headSchema = createBatchSchema.omit({ items: true });

/** @throws invalid, invalid_name, too_many_items */
export async function parseNewBatch(body: unknown): Promise<NewBatch> {
  if (!isObject(body)) return { head: validate(createBatchSchema, body), items: undefined };
  const { items: list, ...rest } = body;
  const parsed = headSchema.safeParse(rest);
  const errors: FieldError[] = parsed.success ? [] : fieldErrors(parsed.error.issues, createBatchSchema);
  let count = errors.length;
  let items: JsonItem[] | undefined;
  if (Array.isArray(list)) {
    const checked = await checkItems(list, ['items']);
    items = checked.items;
    errors.push(...checked.errors);
    count += checked.count;
  } else if (list !== undefined) {
    errors.push({ pointer: '/items', code: 'wrong_type', message: 'It must be a list.' });
    count++;
  }
  if (!parsed.success || count > 0) throw invalid(errors, 'invalid', count);
  return { head: parsed.data, items };
}

/** The fields that are plain text in a form. All others are JSON: `priority` is `7`, `config` is `{…}`. */
const TEXT_FIELDS: readonly string[] = [
  'name',
  'description',
  'processor',
  'template_id',
  'customer_prefix',
  'recovery',
] satisfies (keyof CreateBatch)[];

/** A new batch from the fields of a multipart form. */
export async function parseFormFields(fields: ReadonlyMap<string, string>): Promise<NewBatch> {
  const errors: FieldError[] = [];
  const body = new Map<string, Json>();
  for (const [name, text] of fields) {
    try {
      body.set(name, TEXT_FIELDS.includes(name) ? text : parseJson(Buffer.from(text)));
    } catch (error) {
      if (!(error instanceof SheafError) || error.code !== 'malformed_json') throw error;
      errors.push({ pointer: pointer([name]), code: 'malformed_json', message: 'This field must be JSON.' });
    }
  }
  if (errors.length > 0) throw invalid(errors);
  return parseNewBatch(Object.fromEntries(body));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
