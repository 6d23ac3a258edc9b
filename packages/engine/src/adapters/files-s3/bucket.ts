import { S3Client } from '@aws-sdk/client-s3';
import type { ResolvedS3Place } from './s3-place.ts';

export type S3Credentials = { access_key_id: string; secret_access_key: string; session_token?: string };

/** The bucket, as everything in this folder is given it. */
export type Bucket = {
  client: S3Client;
  name: string;
  /** Ends with a slash, or is empty. */
  prefix: string;
  /** Names the place in messages; holds no secret. */
  label: string;
  timeout_ms: number;
};

/** A part of an upload, and the most one request carries: some servers take little more at once. */
export const PART_BYTES = 8 * 1024 * 1024;

/** Tries of one request; the waits between them grow to some seconds, with jitter. */
const ATTEMPTS = 6;

const CONNECTION_MS = 5_000;

export function openBucket(
  { bucket, prefix, endpoint, region, path_style }: ResolvedS3Place,
  { credentials, timeout_ms }: { credentials: S3Credentials | null; timeout_ms: number },
): Bucket {
  const client = new S3Client({
    ...(endpoint === null ? {} : { endpoint }),
    ...(region === null ? {} : { region }),
    ...(credentials === null
      ? {}
      : {
          credentials: {
            accessKeyId: credentials.access_key_id,
            secretAccessKey: credentials.secret_access_key,
            ...(credentials.session_token === undefined ? {} : { sessionToken: credentials.session_token }),
          },
        }),
    forcePathStyle: path_style,
    retryMode: 'standard',
    maxAttempts: ATTEMPTS,
    // We send and check a sha256 ourselves. The checksums the SDK adds by itself change the body in
    // a way that some servers store as if it were the bytes.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: Math.min(CONNECTION_MS, timeout_ms),
      requestTimeout: timeout_ms,
      throwOnRequestTimeout: true,
      // Otherwise a slow reader's body would be cut off: a reader may take its time, a server may not.
      socketTimeout: 0,
    },
  });
  const label = `s3://${bucket}/${prefix}${endpoint === null ? '' : ` at ${endpoint}`}`;
  return { client, name: bucket, prefix, label, timeout_ms };
}
