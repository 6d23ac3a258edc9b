import { Readable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { SheafError } from '@sheaf/protocol';
import { missingBytes, verified } from '../stored-bytes.ts';
import type { Bucket } from './bucket.ts';
import { isMissing, s3Error, statusOf } from './s3-errors.ts';

/** Breaks in a row, without a byte in between, that a reader does not get to see. */
const MENDED_BREAKS = 4;

const FIRST_WAIT_MS = 100;

export type Wanted = { key: string; sha256: string; range: { start: number; end: number } | undefined };

/**
 * Reads an object. A connection that breaks or falls silent is made anew from where it was; what
 * comes must have the promised length and, read whole, the right sum. Nothing is read ahead: a slow
 * reader costs a connection, not memory.
 *
 * @throws not_found, store_unavailable, bad_config before the first byte; the stream ends in an error
 * when the bytes are damaged or cannot be had after all.
 */
export async function readObject(bucket: Bucket, wanted: Wanted): Promise<Readable> {
  const { range, sha256 } = wanted;
  if (range !== undefined && range.end < range.start) return Readable.from([]);
  const first = await request(bucket, wanted, range);
  if (first === null) return Readable.from([]);
  const stream = resuming(bucket, wanted, first);
  return range === undefined ? verified(stream, sha256) : stream;
}

/** An answer under way: its body reaches from `start` up to `end`, which is not part of it. */
type Answer = { body: Readable; start: number; end: number };

async function request(
  bucket: Bucket,
  { key, sha256 }: Wanted,
  range: { start: number; end: number } | undefined,
): Promise<Answer | null> {
  try {
    const answer = await bucket.client.send(
      new GetObjectCommand({
        Bucket: bucket.name,
        Key: key,
        ...(range === undefined ? {} : { Range: `bytes=${range.start}-${range.end}` }),
      }),
    );
    const body = answer.Body;
    if (!(body instanceof Readable)) throw new SheafError('internal', 'The answer has no body.');
    if (range === undefined) return { body, start: 0, end: lengthOf(answer.ContentLength) };
    const [, from, to] = /^bytes (\d+)-(\d+)\//.exec(answer.ContentRange ?? '') ?? [];
    if (Number(from) !== range.start || Number(to) > range.end) {
      body.destroy();
      throw new SheafError('internal', `The bucket ${bucket.label} does not answer with the asked range.`);
    }
    return { body, start: range.start, end: Number(to) + 1 };
  } catch (error) {
    if (isMissing(error)) throw missingBytes(sha256);
    // Behind the end there are no bytes.
    if (range !== undefined && statusOf(error) === 416) return null;
    throw s3Error(error, bucket, 's3:GetObject');
  }
}

/** Without a length nobody could tell a whole answer from one that was cut. */
function lengthOf(length: number | undefined): number {
  if (length === undefined)
    throw new SheafError('internal', 'The answer of the bucket has no Content-Length.');
  return length;
}

function resuming(bucket: Bucket, wanted: Wanted, first: Answer): Readable {
  let answer = first;
  let chunks = answer.body[Symbol.asyncIterator]();
  let at = answer.start;
  let breaks = 0;
  let isClosed = false;
  const { end } = first;

  return new Readable({
    read() {
      next().then(
        (chunk) => this.push(chunk),
        (error) => this.destroy(error),
      );
    },
    destroy(error, done) {
      isClosed = true;
      answer.body.destroy();
      done(error);
    },
  });

  async function next(): Promise<Buffer | null> {
    for (;;) {
      try {
        const chunk = await nextChunk();
        if (chunk === null && at < end) throw cutOff(bucket, at, end);
        if (chunk !== null) at += chunk.length;
        breaks = 0;
        return chunk;
      } catch (error) {
        breaks += 1;
        if (isClosed || breaks > MENDED_BREAKS) throw s3Error(error, bucket, 's3:GetObject');
        await wait(FIRST_WAIT_MS * 2 ** breaks * Math.random());
        await resume();
      }
    }
  }

  async function resume(): Promise<void> {
    answer.body.destroy();
    const again = await request(bucket, wanted, { start: at, end: end - 1 });
    if (again === null) throw cutOff(bucket, at, end);
    answer = again;
    // The reader may have left meanwhile.
    if (isClosed) answer.body.destroy();
    chunks = answer.body[Symbol.asyncIterator]();
  }

  async function nextChunk(): Promise<Buffer | null> {
    const silence = setTimeout(() => {
      answer.body.destroy(Object.assign(new Error('The body stopped coming.'), { code: 'ETIMEDOUT' }));
    }, bucket.timeout_ms);
    try {
      const { value, done } = await chunks.next();
      return done === true ? null : value;
    } finally {
      clearTimeout(silence);
    }
  }
}

function cutOff(bucket: Bucket, at: number, end: number): SheafError {
  return new SheafError(
    'store_unavailable',
    `The bucket ${bucket.label} ended its answer after ${at} of ${end} bytes.`,
    { read_bytes: at, expected_bytes: end },
  );
}
