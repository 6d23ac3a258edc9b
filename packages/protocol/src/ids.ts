/** Crockford's base32 without the letters that are misread: i, l, o, u. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

export type BatchId = `bat_${string}`;
export type FileId = `fil_${string}`;

/**
 * An id that sorts by the time it was made: a UUIDv7 (RFC 9562: 48 bits of Unix milliseconds, then
 * chance) written as 26 base32 characters behind a prefix that says what it names.
 *
 * @param random 10 random bytes.
 */
export function makeId<P extends string>(prefix: P, now: number, random: Uint8Array): `${P}_${string}` {
  let bits = BigInt(Math.floor(now)) << 80n;
  for (const [index, byte] of random.subarray(0, 10).entries())
    bits |= BigInt(byte) << BigInt(72 - index * 8);
  bits = (bits & ~(0xfn << 76n)) | (0x7n << 76n); // version 7
  bits = (bits & ~(0x3n << 62n)) | (0x2n << 62n); // variant 10
  let text = '';
  for (let index = 0; index < 26; index++, bits >>= 5n) text = ALPHABET[Number(bits & 31n)] + text;
  return `${prefix}_${text}`;
}

/** Whether a text has the shape of a batch's id; it says nothing about whether the batch exists. */
export function isBatchId(text: string): text is BatchId {
  return /^bat_[0-7][0-9a-hjkmnp-tv-z]{25}$/.test(text);
}

/** Whether a text has the shape of a file's id. */
export function isFileId(text: string): text is FileId {
  return /^fil_[0-7][0-9a-hjkmnp-tv-z]{25}$/.test(text);
}

/** How an item is written: its batch and its place in it, `bat_…/17`. */
export function itemId(batchId: string, seq: number): string {
  return `${batchId}/${seq}`;
}
