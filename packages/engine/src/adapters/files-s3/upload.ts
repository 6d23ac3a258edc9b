import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { HeadObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import type { StoredBytes } from '../../ports/files.ts';
import { stillWritten } from '../hash-file.ts';
import { type Bucket, PART_BYTES } from './bucket.ts';
import { isMissing, s3Error } from './s3-errors.ts';

const PUT = 's3:PutObject';

/** Parts of one upload under way at once. */
const PARALLEL_PARTS = 2;

/** What sending a file holds in memory: all of a small one, else the parts under way and the one being filled. */
export function uploadMemoryBytes({ bytes }: StoredBytes): number {
  return bytes <= PART_BYTES ? bytes : (PARALLEL_PARTS + 1) * PART_BYTES;
}

/** Stores what fits one request. Equal bytes are simply written again: asking first costs as much. */
export async function putBytes(bucket: Bucket, key: string, content: Buffer, sha256: string): Promise<void> {
  try {
    await bucket.client.send(
      new PutObjectCommand({
        Bucket: bucket.name,
        Key: key,
        Body: content,
        ContentLength: content.byteLength,
        ContentType: 'application/octet-stream',
        // The server keeps nothing that was changed on its way.
        ChecksumSHA256: Buffer.from(sha256, 'hex').toString('base64'),
      }),
    );
  } catch (error) {
    throw s3Error(error, bucket, PUT);
  }
}

/**
 * Stores a local file. Past the size of one request it goes in parts, which become visible together.
 *
 * @throws invalid when the file no longer has this sum.
 */
export async function putFile(bucket: Bucket, key: string, path: string, stored: StoredBytes): Promise<void> {
  if (stored.bytes > PART_BYTES) return putParts(bucket, key, path, stored);
  const content: Buffer[] = [];
  for await (const chunk of checked(path, stored)) content.push(chunk);
  await putBytes(bucket, key, Buffer.concat(content), stored.sha256);
}

async function putParts(bucket: Bucket, key: string, path: string, stored: StoredBytes): Promise<void> {
  // For large ones a question is cheaper than the answer.
  if ((await objectSize(bucket, key)) === stored.bytes) return;
  const body = Readable.from(checked(path, stored), { objectMode: false });
  try {
    const upload = new Upload({
      client: bucket.client,
      params: { Bucket: bucket.name, Key: key, Body: body, ContentType: 'application/octet-stream' },
      partSize: PART_BYTES,
      queueSize: PARALLEL_PARTS,
    });
    await upload.done();
  } catch (error) {
    // The parts were put together and only the answer got lost: the second try finds no upload.
    if (isMissing(error) && (await objectSize(bucket, key)) === stored.bytes) return;
    throw s3Error(error, bucket, PUT);
  } finally {
    body.destroy();
  }
}

export async function objectSize(bucket: Bucket, key: string): Promise<number | null> {
  try {
    const found = await bucket.client.send(new HeadObjectCommand({ Bucket: bucket.name, Key: key }));
    return found.ContentLength ?? 0;
  } catch (error) {
    if (isMissing(error)) return null;
    throw s3Error(error, bucket, 's3:GetObject');
  }
}

/** A file whose bytes must have their sum still: an error at its end keeps the upload from being completed. */
async function* checked(path: string, { sha256, bytes }: StoredBytes): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  let read = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
    hash.update(chunk);
    read += chunk.length;
    yield chunk;
  }
  if (read !== bytes || hash.digest('hex') !== sha256) throw stillWritten(path);
}
