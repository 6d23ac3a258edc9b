import type { Readable } from 'node:stream';

const HEAD_END = '\r\n\r\n';

const MAX_HEAD_BYTES = 16_384;

/**
 * Looks at the heads of the parts of a multipart body while somebody else reads it: the parser passes
 * over a part that it cannot name without a word, and an item must not vanish so.
 *
 * @param maxParts More are an attack; it is told before the first of them has been stored.
 * @returns What is wrong with the first bad part so far; null when nothing is.
 */
export function watchParts(source: Readable, boundary: string, maxParts: number): () => string | null {
  const delimiter = `\r\n--${boundary}`;
  let problem: string | null = null;
  let inHead = false;
  // The last boundary begins no part.
  let parts = -1;
  // The first boundary may stand at the very start of the body, without a line before it.
  let text = '\r\n';
  source.on('data', (chunk: Buffer) => {
    if (problem !== null) return;
    // One character a byte: nothing is decoded, nothing changes its length.
    text += chunk.toString('latin1');
    for (let at = next(); at !== -1; at = next()) {
      if (inHead) problem ??= problemOfHead(text.slice(0, at));
      else if (++parts > maxParts) problem ??= `The body has more than ${maxParts} parts.`;
      // The line break at the end of a head may already belong to the next boundary.
      text = text.slice(inHead ? at + 2 : at + delimiter.length);
      inHead = !inHead && !text.startsWith('--');
    }
    if (inHead && text.length > MAX_HEAD_BYTES) problem ??= 'The head of a part is over 16 KiB.';
    if (!inHead) text = text.slice(Math.max(0, text.length - delimiter.length + 1));
  });
  return () => problem;

  function next(): number {
    return text.indexOf(inHead ? HEAD_END : delimiter);
  }
}

function problemOfHead(head: string): string | null {
  if (head.startsWith('--')) return null; // the last boundary, cut in two by the network
  const lines = head.split('\r\n');
  const disposition = lines.find((line) => /^content-disposition:/i.test(line));
  if (disposition === undefined) return 'A part has no Content-Disposition.';
  if (!/^content-disposition:\s*form-data\s*(?:;|$)/i.test(disposition)) return 'A part is not form-data.';
  // What stands in quotes is text, whatever it looks like.
  const bare = disposition.replace(/"(?:[^"\\]|\\.)*"/g, '""');
  if (!/;\s*name\s*=/i.test(bare)) return 'A part has no name.';
  const extended = /;\s*filename\*\s*=\s*([^;]*)/i.exec(bare)?.[1];
  if (extended !== undefined && !isExtendedValue(extended.trim())) return 'A filename* is not RFC 5987.';
  return lines.some((line) => /^content-type:\s*multipart\//i.test(line))
    ? 'A part is multipart itself.'
    : null;
}

/** `UTF-8''na%C3%AFve.png` */
function isExtendedValue(value: string): boolean {
  const [, charset, encoded] =
    /^(utf-8|iso-8859-1)'[^']*'((?:[\w!#$&+.^`|~-]|%[0-9a-f]{2})+)$/i.exec(value) ?? [];
  if (charset === undefined || encoded === undefined) return false;
  try {
    return /^iso/i.test(charset) || decodeURIComponent(encoded) !== '';
  } catch {
    return false;
  }
}
