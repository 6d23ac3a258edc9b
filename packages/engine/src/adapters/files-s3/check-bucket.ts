import { randomUUID } from 'node:crypto';
import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { SheafError } from '@sheaf/protocol';
import type { Bucket } from './bucket.ts';
import { isMissing, s3Error } from './s3-errors.ts';

const PROBE = 'sheaf probe 0123456789';

/**
 * Does once with a small object of its own what Files does later with others.
 *
 * @throws bad_config naming the right that is missing or what the server does wrong;
 * store_unavailable when it does not answer.
 */
export async function checkBucket(bucket: Bucket): Promise<void> {
  const Bucket = bucket.name;
  const Key = `${bucket.prefix}.probe/${randomUUID()}`;
  const { client } = bucket;

  await step('s3:PutObject', () => client.send(new PutObjectCommand({ Bucket, Key, Body: PROBE })));
  await step('s3:GetObject', async () => {
    const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }));
    expectSame((await Body?.transformToString()) ?? '', PROBE, 'what was written');
  });
  await step('s3:GetObject', async () => {
    const { Body } = await client.send(new GetObjectCommand({ Bucket, Key, Range: 'bytes=6-10' }));
    expectSame((await Body?.transformToString()) ?? '', PROBE.slice(6, 11), 'the asked range');
  });
  await step('s3:ListBucket', async () => {
    const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket, Prefix: Key }));
    expectSame(Contents.map((each) => each.Key).join(), Key, 'the list of what is there');
  });
  await step('s3:AbortMultipartUpload', async () => {
    const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }));
    await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }));
  });
  await step('s3:DeleteObject', () => client.send(new DeleteObjectCommand({ Bucket, Key })));
  // Who may not list is told "forbidden" of what is not there, and could not tell one from the other.
  await step('s3:ListBucket', async () => {
    const isGone = await client.send(new HeadObjectCommand({ Bucket, Key })).then(() => false, orMissing);
    if (!isGone) throw misbehaving('an object that was deleted');
  });

  async function step(right: string, run: () => Promise<unknown>): Promise<void> {
    try {
      await run();
    } catch (error) {
      throw s3Error(error, bucket, right);
    }
  }

  function expectSame(found: string, expected: string, what: string): void {
    if (found !== expected) throw misbehaving(`something else than ${what}`);
  }

  function misbehaving(what: string): SheafError {
    return new SheafError('bad_config', `The bucket ${bucket.label} answers with ${what}.`);
  }
}

function orMissing(error: unknown): true {
  if (isMissing(error)) return true;
  throw error;
}
