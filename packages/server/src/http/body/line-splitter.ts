import { SheafError } from '@sheaf/protocol';

const NEWLINE = 0x0a;

/** A line of a body, counted from 1. */
export type Line = { number: number; bytes: Uint8Array };

/**
 * Cuts a stream into lines with no more than one line in memory. A last line needs no newline, and
 * empty lines are left out.
 *
 * @throws too_large, with its number, for a line over `maxBytes`.
 */
export async function* splitLines(source: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Line> {
  let number = 1;
  let rest: Uint8Array[] = [];
  let restBytes = 0;
  for await (const chunk of source) {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      checkLength(restBytes + end - from, number);
      const bytes = join(rest, chunk.subarray(from, end));
      if (!isBlank(bytes)) yield { number, bytes };
      [rest, restBytes, from] = [[], 0, end + 1];
      number++;
    }
    restBytes += chunk.length - from;
    checkLength(restBytes, number);
    if (from < chunk.length) rest.push(chunk.subarray(from));
    // A line that drips in byte by byte must not become a million little buffers.
    if (rest.length > 256) rest = [Buffer.concat(rest)];
  }
  const last = join(rest, new Uint8Array());
  if (!isBlank(last)) yield { number, bytes: last };

  function checkLength(bytes: number, line: number): void {
    if (bytes <= maxBytes) return;
    throw new SheafError('too_large', `Line ${line} is longer than ${maxBytes} bytes.`, {
      line,
      limit: maxBytes,
    });
  }
}

function join(rest: readonly Uint8Array[], last: Uint8Array): Uint8Array {
  return rest.length === 0 ? last : Buffer.concat([...rest, last]);
}

/** Spaces and carriage returns only. */
function isBlank(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
}
