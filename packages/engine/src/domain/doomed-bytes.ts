import { errorCode, SheafError } from '@sheaf/protocol/words';

/** Which bytes, of which space. */
export type BlobRef = { space: string; sha256: string };

/** Bytes, and the removal that they were looked for after: a later one makes it all uncertain again. */
export type RemovedBlob = BlobRef & { removed_at: number };

/** Bytes that cannot be named: somebody removes them just now, or has removed them within the last hour. */
export type DoomedBytes = { claimed: BlobRef[]; removed: RemovedBlob[] };

export function bytesDoomed({ claimed, removed }: DoomedBytes): SheafError {
  const { sha256 = '' } = [...claimed, ...removed][0] ?? {};
  return new SheafError('bytes_doomed', `The bytes ${sha256} are being removed.`, { claimed, removed });
}

/** What such an error says; null of any other. */
export function doomedBytesOf(error: unknown): DoomedBytes | null {
  // The details of this code are made above.
  return errorCode(error) === 'bytes_doomed' ? ((error as SheafError).details as DoomedBytes) : null;
}
