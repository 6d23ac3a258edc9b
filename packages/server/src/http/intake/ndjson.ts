import type { IncomingItem } from '@sheaf/engine';
import { errorCode, type FieldError, type Json, type NewItem, SheafError } from '@sheaf/protocol';
import { type Line, splitLines } from '../body/line-splitter.ts';
import { parseJson } from '../body/strict-json.ts';
import { parseItems, withContent } from './items.ts';

const MAX_LINE_BYTES = 1_048_576;

const PLAIN_FIELDS = new Set(['name', 'key', 'input', 'file_id']);

/** The items of an NDJSON body, read as they come in, and the line that was read last. */
export type NdjsonItems = { items: AsyncGenerator<IncomingItem>; line: number };

/**
 * Reads items from NDJSON with one line in memory at a time.
 *
 * @throws bad_manifest that names the line, from `items`; too_large for a line over 1 MiB.
 */
export function readNdjson(source: AsyncIterable<Uint8Array>): NdjsonItems {
  const reader = { items: read(), line: 0 };
  return reader;

  async function* read(): AsyncGenerator<IncomingItem> {
    for await (const line of splitLines(source, MAX_LINE_BYTES)) {
      reader.line = line.number;
      const item = parseLine(line);
      if (isPlain(item)) yield item;
      else yield* withContent(await checked(item, line.number));
    }
  }
}

function parseLine({ number, bytes }: Line): Json {
  try {
    return parseJson(bytes);
  } catch (error) {
    throw badLine(error, number, /^$/);
  }
}

async function checked(item: Json, line: number) {
  try {
    return await parseItems([item]);
  } catch (error) {
    throw badLine(error, line, /^\/0/);
  }
}

/**
 * Whether an item has no other fields than those the engine checks itself, and faster: ten million
 * come through here.
 */
function isPlain(item: Json): item is Json & NewItem {
  if (typeof item !== 'object' || item === null || Array.isArray(item)) return false;
  for (const key in item) if (!PLAIN_FIELDS.has(key)) return false;
  return true;
}

/**
 * What is wrong with an item, told of its line.
 *
 * @param prefix What its pointers begin with: a list of which the client knows nothing.
 */
export function badLine(error: unknown, line: number, prefix: RegExp): unknown {
  if (errorCode(error) === undefined || !(error instanceof Error)) return error;
  const { errors = [], ...details } = (error as SheafError).details as { errors?: FieldError[] };
  const own = errors.map((one) => ({ ...one, pointer: one.pointer.replace(prefix, '') }));
  const message = error.message
    .replace(prefix, '')
    .replace(/^: /, '')
    .replace(/^The body/, 'It');
  return new SheafError('bad_manifest', `Line ${line}: ${message}`, { ...details, line, errors: own }, error);
}
