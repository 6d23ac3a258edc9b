import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { MAX_ITEM_JSON_BYTES } from '@sheaf/protocol';
import { failure } from './failure.ts';

/** Lines of JSON that become items. */
export type Lines = { body: ReadableStream<Uint8Array> };

/**
 * Standard input as items, once something has come.
 *
 * @throws no_input when it ends without a word.
 */
export async function linesFromInput(input: Readable): Promise<Lines> {
  const pieces: AsyncIterator<Buffer> = input[Symbol.asyncIterator]();
  const first: Buffer[] = [];
  for (;;) {
    const { value, done } = await pieces.next();
    if (done)
      throw failure(
        'no_input',
        'nothing came on standard input',
        'give one JSON object a line: {"name": …, "input": …}',
      );
    first.push(value);
    if (/\S/.test(value.toString())) break;
  }
  const rest = async function* () {
    yield* first;
    for (let next = await pieces.next(); !next.done; next = await pieces.next()) yield next.value;
  };
  return { body: webStream(Readable.from(rest())) };
}

/**
 * A manifest's lines as items. Read once before, so that a broken line is found while nothing has
 * been made yet.
 *
 * @throws no_input, bad_manifest with the number of the line.
 */
export async function linesFromManifest(path: string): Promise<Lines & { count: number }> {
  if (/\.csv$/i.test(path)) {
    throw failure(
      'usage',
      'CSV manifests are not read yet',
      'give JSON lines: one {"name": …, "input": …} a line',
    );
  }
  const count = await checkLines(path);
  if (count === 0) throw failure('no_input', `${path} has no lines`);
  return { body: webStream(createReadStream(path)), count };
}

async function checkLines(path: string): Promise<number> {
  let number = 0;
  let count = 0;
  try {
    for await (const line of createInterface({
      input: createReadStream(path),
      crlfDelay: Number.POSITIVE_INFINITY,
    })) {
      number += 1;
      if (line.trim() === '') continue;
      count += 1;
      const problem = problemOf(line);
      if (problem !== null)
        throw failure('bad_manifest', `${path} line ${number} ${problem}`, undefined, { line: number });
    }
  } catch (error) {
    if (error instanceof Error && 'syscall' in error)
      throw failure('no_input', `cannot read ${path} (${error.message})`);
    throw error;
  }
  return count;
}

function problemOf(line: string): string | null {
  if (line.length > 2 * MAX_ITEM_JSON_BYTES) return 'is too long for one item';
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? null
      : 'is not a JSON object';
  } catch (error) {
    return `is not JSON (${error instanceof Error ? error.message : 'broken'})`;
  }
}

function webStream(stream: Readable): ReadableStream<Uint8Array> {
  // Node's own type of the same thing.
  return Readable.toWeb(stream) as ReadableStream<Uint8Array>;
}
