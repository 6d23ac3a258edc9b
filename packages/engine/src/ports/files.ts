import type { Readable } from 'node:stream';

/** What is known of stored bytes. */
export type StoredBytes = { sha256: string; bytes: number };

export type { BlobRef, RemovedBlob } from '../domain/doomed-bytes.ts';

/**
 * Bytes, addressed by their sha256 and kept apart by space. Names never reach this port: a name is
 * data of the Store.
 */
export interface Files {
  /**
   * Stores a stream. When it resolves, the bytes are kept for good (on a disk: file and folder fsynced) and
   * whole; when it rejects, nothing is visible. Storing equal bytes twice keeps one copy.
   *
   * @throws too_large past `max_bytes`; storage_full when the disk is full or refuses; storage_failed
   * when it failed to keep a write (EIO); of a bucket store_unavailable when it does not answer, and
   * bad_config when it refuses keys or rights.
   */
  put(space: string, source: Readable, options?: { max_bytes?: number }): Promise<StoredBytes>;
  /**
   * Like `put`, but takes over a local file, which is gone afterwards; when it rejects, the file may
   * still be there. After storage_full it is, so that the call can be made again.
   *
   * @throws not_found; invalid when it is no regular file or is still being written.
   */
  adopt(space: string, path: string): Promise<StoredBytes>;
  /**
   * Opens stored bytes, whole or from `start` to `end` (both inclusive); a range that goes past the
   * end gives what there is. Damage that is found ends the stream in an error, never in silence.
   *
   * @throws not_found when there are none.
   */
  open(space: string, sha256: string, range?: { start: number; end: number }): Promise<Readable>;
  /** The size, or null when there are no such bytes. */
  size(space: string, sha256: string): Promise<number | null>;
  /**
   * A local path to read the bytes at, valid until `release` is called. Never write to it.
   *
   * @throws not_found when there are none.
   */
  local(space: string, sha256: string): Promise<{ path: string; release: () => Promise<void> }>;
  /**
   * Removes the bytes; no error when they are gone already. Answers within 30 s or gives up, and removes
   * nothing afterwards: by then others may have stored equal bytes.
   *
   * @throws of a bucket bad_config when it refuses, store_unavailable when nobody knows what it did.
   */
  remove(space: string, sha256: string): Promise<void>;
  /** Every stored blob, in no order, for the sweep. */
  list(space: string): AsyncIterable<StoredBytes>;
  /**
   * Drops what uploads that broke off over a day ago have left, where that is not seen otherwise and
   * costs room. Answers how many there were.
   */
  removeStaleUploads?(now: number): Promise<number>;
}
