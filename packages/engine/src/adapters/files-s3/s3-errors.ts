import { errorCode, SheafError } from '@sheaf/protocol';
import type { Bucket } from './bucket.ts';

/** What a server says when keys, rights, bucket or region are not as set: trying again does not help. */
const REFUSED = new Set([
  'AccessDenied',
  'AccountProblem',
  'AllAccessDisabled',
  'AuthorizationHeaderMalformed',
  'CredentialsProviderError',
  'ExpiredToken',
  'Forbidden',
  'InvalidAccessKeyId',
  'InvalidToken',
  'NoSuchBucket',
  'NotSignedUp',
  'PermanentRedirect',
  'SignatureDoesNotMatch',
  'TokenProviderError',
]);

const FULL = new Set(['QuotaExceeded', 'XMinioAdminBucketQuotaExceeded', 'XMinioStorageFull']);

/** The system's names for a server that cannot be reached or breaks off. */
const UNREACHED = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EPIPE',
  'ETIMEDOUT',
]);

/**
 * A problem of the bucket as callers branch on it, after the SDK has tried again where that may
 * help. It is never `storage_failed`: that ends the process, since a disk that lost one write may
 * lose others, while a bucket acknowledges nothing that it did not keep.
 *
 * @param right What the call needs, as Amazon names it.
 */
export function s3Error(error: unknown, bucket: Bucket, right: string): unknown {
  if (errorCode(error) !== undefined) return error;
  const { name, status, code } = describe(error);
  const said = `${name}${status === null ? '' : `, ${status}`}`;
  if (name === 'NoSuchBucket') {
    return new SheafError('bad_config', `There is no bucket ${bucket.label}.`, { right }, error);
  }
  if (FULL.has(name) || status === 507) {
    return new SheafError('storage_full', `The bucket ${bucket.label} is full (${said}).`, {}, error);
  }
  if (REFUSED.has(name) || status === 401 || status === 403 || status === 301) {
    return new SheafError(
      'bad_config',
      `The bucket ${bucket.label} refuses ${right} (${said}). Check keys, rights and region.`,
      { right },
      error,
    );
  }
  // The SDK throws this before it sends anything.
  if (error instanceof Error && error.message === 'Region is missing') {
    return new SheafError('bad_config', `The region of ${bucket.label} is not set.`, {}, error);
  }
  if (
    name === 'TimeoutError' ||
    name === 'AbortError' ||
    UNREACHED.has(code) ||
    (status !== null && (status >= 500 || status === 429))
  ) {
    return new SheafError(
      'store_unavailable',
      `The bucket ${bucket.label} does not answer (${status === null && code !== '' ? code : said}).`,
      {},
      error,
    );
  }
  return error;
}

export function isMissing(error: unknown): boolean {
  const { name, status } = describe(error);
  return name !== 'NoSuchBucket' && (name === 'NoSuchKey' || name === 'NotFound' || status === 404);
}

export function statusOf(error: unknown): number | null {
  return describe(error).status;
}

/** Errors of the SDK are known by their name and status; those of the system by their code. */
function describe(error: unknown): { name: string; status: number | null; code: string } {
  if (!(error instanceof Error)) return { name: 'error', status: null, code: '' };
  const { $metadata: metadata, code } = error as { $metadata?: { httpStatusCode?: number }; code?: unknown };
  return {
    name: error.name,
    status: metadata?.httpStatusCode ?? null,
    code: typeof code === 'string' ? code : '',
  };
}
