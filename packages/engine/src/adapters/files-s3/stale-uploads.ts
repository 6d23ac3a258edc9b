import {
  AbortMultipartUploadCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
} from '@aws-sdk/client-s3';
import type { Bucket } from './bucket.ts';
import { s3Error } from './s3-errors.ts';

/** Longer than any upload takes: a younger one may be somebody's who is still at it. */
const STALE_MS = 86_400_000;

/**
 * Drops the parts of uploads that a crash broke off: they are invisible, but take room and cost money.
 *
 * @returns How many there were.
 */
export async function removeStaleUploads(bucket: Bucket, now: number): Promise<number> {
  let removed = 0;
  try {
    let after: { KeyMarker?: string; UploadIdMarker?: string } | null = {};
    while (after !== null) {
      const page: ListMultipartUploadsCommandOutput = await bucket.client.send(
        new ListMultipartUploadsCommand({ Bucket: bucket.name, Prefix: bucket.prefix, ...after }),
      );
      const { Uploads = [], IsTruncated, NextKeyMarker, NextUploadIdMarker } = page;
      for (const { Key, UploadId, Initiated } of Uploads) {
        if (Key === undefined || UploadId === undefined || Initiated === undefined) continue;
        if (now - Initiated.getTime() < STALE_MS) continue;
        await bucket.client.send(new AbortMultipartUploadCommand({ Bucket: bucket.name, Key, UploadId }));
        removed += 1;
      }
      after =
        IsTruncated === true && NextKeyMarker !== undefined
          ? {
              KeyMarker: NextKeyMarker,
              ...(NextUploadIdMarker === undefined ? {} : { UploadIdMarker: NextUploadIdMarker }),
            }
          : null;
    }
  } catch (error) {
    throw s3Error(error, bucket, 's3:ListBucketMultipartUploads');
  }
  return removed;
}
