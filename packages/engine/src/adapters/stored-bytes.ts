import { createHash } from 'node:crypto';
import { type Readable, Transform } from 'node:stream';
import { SheafError } from '@sheaf/protocol';

const SHA256 = /^[0-9a-f]{64}$/;

/** Whether a text can name bytes at all; what cannot is never made part of a path or a key. */
export function isSha256(text: string): boolean {
  return SHA256.test(text);
}

/**
 * Where bytes lie, below the root of a folder or the prefix of a bucket:
 * `<space>/<first two digits>/<sha256>`. The same in both, so that copying one to the other moves it.
 */
export function blobPath(space: string, sha256: string): string {
  return `${spaceFolder(space)}/${sha256.slice(0, 2)}/${sha256}`;
}

/** A space as a folder name: odd characters are escaped, so that no space can name a path or another's folder. */
export function spaceFolder(space: string): string {
  const escaped = space.replace(
    /[^a-z0-9_-]/gu,
    (character) => `%${character.codePointAt(0)?.toString(16)}.`,
  );
  // Longer than a file system takes: its digest, which no escaped name looks like.
  return escaped.length > 0 && escaped.length <= 200
    ? escaped
    : `~${createHash('sha256').update(escaped).digest('hex')}`;
}

/** Holds the last chunk back until the sum is known, so that no reader takes damaged bytes for whole. */
export function verified(source: Readable, sha256: string): Readable {
  const hash = createHash('sha256');
  let held: Buffer | null = null;
  const check = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      const before = held;
      held = chunk;
      done(null, before ?? undefined);
    },
    flush(done) {
      if (hash.digest('hex') === sha256) done(null, held ?? undefined);
      else done(new SheafError('internal', `The stored bytes of ${sha256} are damaged.`, { sha256 }));
    },
  });
  source.on('error', (error) => check.destroy(error));
  check.on('close', () => source.destroy());
  return source.pipe(check);
}

export function missingBytes(sha256: string): SheafError {
  return new SheafError('not_found', `No stored bytes have the sha256 ${sha256.slice(0, 64)}.`, { sha256 });
}

export function tooLarge(maxBytes: number): SheafError {
  return new SheafError('too_large', `The file is larger than ${maxBytes} bytes.`, { max_bytes: maxBytes });
}
