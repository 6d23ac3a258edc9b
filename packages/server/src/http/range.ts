/** What to send for a Range header: all of it, one stretch (both ends inclusive), or nothing fits. */
export type Stretch =
  | { kind: 'whole' }
  | { kind: 'part'; start: number; end: number }
  | { kind: 'unsatisfiable' };

/**
 * Reads a Range header (RFC 9110). Of several ranges the first that fits is sent: a client has to look
 * at Content-Range anyway, and a thousand small ranges must not cost a thousand reads. A unit other
 * than bytes, or a header that is no range at all, is as if it were not there.
 */
export function parseRange(header: string | undefined, size: number): Stretch {
  const list = /^bytes=(.+)$/i.exec(header?.trim() ?? '')?.[1];
  if (list === undefined) return { kind: 'whole' };
  const ranges = list.split(',').map((text) => /^\s*(\d{0,15})-(\d{0,15})\s*$/.exec(text));
  if (ranges.some((range) => range === null || range[0].trim() === '-')) return { kind: 'whole' };
  for (const range of ranges) {
    const stretch = within(range?.[1] ?? '', range?.[2] ?? '', size);
    if (stretch !== null) return stretch;
  }
  return { kind: 'unsatisfiable' };
}

function within(first: string, last: string, size: number): Stretch | null {
  // `-500` asks for the last 500 bytes.
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1);
  return start <= end && start < size ? { kind: 'part', start, end } : null;
}
