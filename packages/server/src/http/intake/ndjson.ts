import type { IncomingItem } from '@sheaf/engine';
import { errorCode, SheafError } from '@sheaf/protocol';
import { type Line, splitLines } from '../body/line-splitter.ts';
import { parseJson } from '../body/strict-json.ts';
import { parseItems, withContent } from './items.ts';

const MAX_LINE_BYTES = 1_048_576;

/**
 * Reads items from NDJSON as they come in, one in memory at a time.
 *
 * @throws bad_manifest that names the line, or too_large for a line over 1 MiB.
 */
export async function* readNdjson(source: AsyncIterable<Uint8Array>): AsyncGenerator<IncomingItem> {
  for await (const line of splitLines(source, MAX_LINE_BYTES)) yield* withContent(parseLine(line));
}

function parseLine({ number, bytes }: Line) {
  try {
    return parseItems([parseJson(bytes)]);
  } catch (error) {
    if (errorCode(error) === undefined || !(error instanceof Error)) throw error;
    const { errors } = (error as SheafError).details;
    // The list here is ours: the item of this line is its only element.
    const own = Array.isArray(errors) ? errors.map((one) => ({ ...one, pointer: one.pointer.replace(/^\/0/, '') })) : [];
    const message = error.message.replace(/^\/0\/?/, '').replace(/^The body/, 'It');
    throw new SheafError('bad_manifest', `Line ${number}: ${message}`, { line: number, errors: own }, error);
  }
}
