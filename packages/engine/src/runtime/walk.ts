import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import type { Clock } from '../ports/clock.ts';
import type { BlobRef, Files } from '../ports/files.ts';
import type { Store } from '../ports/store.ts';
import { leaveMark, OWNERS, type OwnersMark, requireOwn } from './owner.ts';
import { every } from './timers.ts';

const LOOK_MS = 60_000;

/** A process has other things to do at its start, and who started with it leaves his mark meanwhile. */
const START_MS = 300_000;

/** Sums that lie in memory at once; one transaction looks for their names. */
const PAGE_BLOBS = 500;

/** Ten million blobs take six hours, and nobody who works beside the walk notices it. */
const REST_MS = 1_000;

/** The days whose walk somebody has begun: records of no pack and no space. */
const DAYS = { pack: 'sheaf', space: '', kind: 'walks' };

export type Walk = {
  /** Looks now whether it is time. Resolves when the walk, if there was one, has ended. */
  now(): Promise<void>;
  /** Ends it wherever it is; another process, or the next start, begins anew. */
  close(): Promise<void>;
};

type Parts = { store: Store; files: Files; clock: Clock };

/**
 * Walks once a day (UTC) over all stored bytes, the first time five minutes after the start. One process
 * of a cluster does it; if it dies or fails on the way, the walk of the next day begins anew.
 *
 * @param options.rest_ms After each page. @default 1_000
 */
export function startWalk(options: Parts & { rest_ms?: number; onError: (error: unknown) => void }): Walk {
  const { onError, ...parts } = options;
  const { store, clock } = parts;
  const token = randomUUID();
  const startedAt = clock.now();
  const closing = new AbortController();
  let isMarked = false;
  const looks = every(LOOK_MS, look, onError);

  async function look(): Promise<void> {
    if (!isMarked) await unlessAborted(closing.signal, leaveMark(parts));
    isMarked = true;
    if (closing.signal.aborted || clock.now() - startedAt < START_MS) return;
    const day = new Date(clock.now()).toISOString().slice(0, 10);
    const known = await store.records({ ...DAYS, after: 0, limit: 100 });
    if (known.some(({ key }) => key === day)) return;
    const [id = 0] = await store.addRecords({
      ...DAYS,
      records: [{ key: day, data: token }],
      now: clock.now(),
    });
    const [taken] = await store.records({ ...DAYS, ids: [id], after: 0, limit: 1 });
    if (taken?.data !== token) return;
    await store.removeRecords({ ...DAYS, ids: known.map((record) => record.id) });
    await walk({ ...parts, signal: closing.signal });
    if (closing.signal.aborted) await store.removeRecords({ ...DAYS, ids: [id] });
  }

  return {
    now: () => looks.nudge(),
    async close() {
      closing.abort();
      await looks.stop();
    },
  };
}

/**
 * Dooms the stored bytes, of all spaces, that no file names: whoever stored them died before he named
 * them. Page by page, with a rest after each.
 *
 * @param options.signal Ends it, also while a bucket does not answer.
 * @param options.page_blobs @default 500
 * @param options.rest_ms @default 1_000
 * @throws bad_config when the bytes of another Store lie there, too: nothing more is doomed.
 */
export async function walk(
  options: Parts & { signal: AbortSignal; page_blobs?: number; rest_ms?: number },
): Promise<void> {
  const { store, files, clock, signal, page_blobs = PAGE_BLOBS, rest_ms = REST_MS } = options;
  const mark = await unlessAborted(signal, leaveMark(options));
  if (mark === null) return;
  const blobs = storedBlobs(files);
  try {
    while (!signal.aborted) {
      const page = await unlessAborted(signal, ownPage(blobs, { files, mark, size: page_blobs }));
      if (page === null || page.length === 0) return;
      await store.doomUnnamed({ blobs: page, now: clock.now() });
      await setTimeout(rest_ms, undefined, { signal }).catch(() => undefined);
    }
  } finally {
    // Not waited for: a page that is still being read ends when the bucket answers.
    blobs.return(undefined).catch(() => undefined);
  }
}

async function* storedBlobs(files: Files): AsyncGenerator<BlobRef, undefined> {
  for await (const space of files.spaces()) {
    if (space === OWNERS) continue;
    for await (const { sha256 } of files.list(space)) yield { space, sha256 };
  }
}

async function ownPage(
  blobs: AsyncGenerator<BlobRef>,
  { files, mark, size }: { files: Files; mark: OwnersMark; size: number },
): Promise<BlobRef[]> {
  const page: BlobRef[] = [];
  while (page.length < size) {
    const { done, value } = await blobs.next();
    if (done === true) break;
    page.push(value);
  }
  // After it was read: whose bytes are in it has left his mark by now, unless he began this minute.
  await requireOwn(files, mark);
  return page;
}

async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T | null> {
  const aborted = Promise.withResolvers<null>();
  const end = () => aborted.resolve(null);
  signal.addEventListener('abort', end);
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', end);
  }
}
