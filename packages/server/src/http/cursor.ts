import { createHash } from 'node:crypto';
import { SheafError } from '@sheaf/protocol';

/**
 * A place in a list, as an opaque text. It is signed with what it belongs to, so that one from another
 * list, another batch or another version is refused rather than misread. No secret is needed: whoever
 * may read the list may read it from any place.
 */
export function encodeCursor(list: string, after: number): string {
  return Buffer.from(`${after}.${signature(list, after)}`).toString('base64url');
}

/** @throws invalid_cursor */
export function decodeCursor(list: string, cursor: string): number {
  const [text = ''] = Buffer.from(cursor, 'base64url').toString('latin1').split('.');
  // Made again and compared as a whole: base64 passes over stray characters, and no part may be changed.
  if (/^\d{1,15}$/.test(text) && encodeCursor(list, Number(text)) === cursor) return Number(text);
  throw new SheafError(
    'invalid_cursor',
    'The cursor was not made by this server for this list; start without one.',
  );
}

function signature(list: string, after: number): string {
  return createHash('sha256').update(`sheaf cursor 1\n${list}\n${after}`).digest('base64url').slice(0, 12);
}
