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
  const [text = '', signed = ''] = Buffer.from(cursor, 'base64url').toString('latin1').split('.');
  const after = Number(text);
  const isOurs = /^\d{1,15}$/.test(text) && signed === signature(list, after);
  // Base64 ignores stray characters; a cursor that was tampered with must not pass as the real one.
  if (isOurs && encodeCursor(list, after) === cursor) return after;
  throw new SheafError(
    'invalid_cursor',
    'The cursor was not made by this server for this list; start without one.',
  );
}

function signature(list: string, after: number): string {
  return createHash('sha256').update(`sheaf cursor 1\n${list}\n${after}`).digest('base64url').slice(0, 12);
}
