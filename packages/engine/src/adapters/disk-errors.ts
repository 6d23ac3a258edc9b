import { errorCode, SheafError } from '@sheaf/protocol';

/** No room, no right or no handle to write: the work pauses until somebody mends it. */
const FULL = new Set(['ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EPERM', 'EMFILE', 'ENFILE']);

/** A problem of writing as callers branch on it. What has a code of ours already stays as it is. */
export function diskError(error: unknown, path: string): unknown {
  const code = systemCode(error);
  if (errorCode(error) !== undefined || code === null) return error;
  if (FULL.has(code)) {
    return new SheafError(
      'storage_full',
      `Cannot write to ${path}: ${code}. Make room, or check rights and quota.`,
      { code },
      error,
    );
  }
  if (code === 'EIO') {
    return new SheafError(
      'storage_failed',
      `The disk failed to keep a write to ${path} (EIO).`,
      { code },
      error,
    );
  }
  return error;
}

/** The system's name of an error, as `ENOENT`. */
export function systemCode(error: unknown): string | null {
  return typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string'
    ? error.code
    : null;
}
