import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { createDiskFiles } from '../src/adapters/files-disk/disk-files.ts';
import type { BlobRef, Files } from '../src/ports/files.ts';
import type { FileRow, Store } from '../src/ports/store.ts';
import { removeDoomed } from '../src/runtime/removal.ts';
import { startWalk, walk } from '../src/runtime/walk.ts';
import { createFakeClock, makeFile, openMemoryStore, until } from '../src/testing/index.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** Where the marks of the owners lie. */
const OWNERS = '.owner';

let folder: string;
let files: Files;
let store: Store;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sheaf-walk-'));
  files = createDiskFiles({ root: folder });
  store = await openMemoryStore();
});
afterEach(async () => {
  expect(await store.checkInvariants()).toEqual([]);
  await store.close();
  rmSync(folder, { recursive: true });
});

/** Bytes as they lie there when their process was killed before it named them. */
async function put(text: string, space = 'default'): Promise<FileRow> {
  await files.put(space, Readable.from([Buffer.from(text)]));
  return makeFile(text, { space });
}

async function name(file: FileRow): Promise<FileRow> {
  await store.addFile(file);
  return file;
}

const isThere = async ({ space, sha256 }: FileRow) => (await files.size(space, sha256)) !== null;

describe('a walk', () => {
  const clock = createFakeClock();
  const { signal } = new AbortController();
  const walkAll = (options: Partial<Parameters<typeof walk>[0]> = {}) =>
    walk({ store, files, clock, signal, rest_ms: 0, ...options });
  const sweep = () => removeDoomed({ store, files, clock });

  it('lets bytes go that were stored and never named, after an hour, in every space', async () => {
    const strays = [await put('a'), await put('b'), await put('a', 'other'), await put('c', 'Ümläut/..')];
    const named = [await name(await put('named')), await name(await put('b', 'other'))];
    await walkAll();
    clock.advance(HOUR_MS - 1);
    await sweep();
    for (const file of strays) expect(await isThere(file)).toBe(true);
    clock.advance(1);
    await sweep();
    for (const file of strays) expect(await isThere(file)).toBe(false);
    for (const file of named) expect(await isThere(file)).toBe(true);
  });

  it('keeps what is named before the hour is over, and what is stored anew', async () => {
    const [late, again] = [await put('late'), await put('again')];
    await walkAll();
    await name(late);
    await name(await put('again'));
    clock.advance(DAY_MS);
    await sweep();
    for (const file of [late, again]) expect(await isThere(file)).toBe(true);
  });

  it('goes page by page, and rests after each', async () => {
    for (let count = 0; count < 7; count++) await put(`${count}`, count % 2 ? 'default' : 'other');
    const pages: { blobs: readonly BlobRef[]; at: number }[] = [];
    const watched: Store = {
      ...store,
      doomUnnamed(page) {
        pages.push({ blobs: page.blobs, at: performance.now() });
        return store.doomUnnamed(page);
      },
    };
    await walkAll({ store: watched, page_blobs: 3, rest_ms: 40 });
    expect(pages.map(({ blobs }) => blobs.length)).toEqual([3, 3, 1]);
    const [first = 0, second = 0] = pages.map(({ at }) => at);
    expect(second - first).toBeGreaterThan(35);
    expect(new Set(pages.flatMap(({ blobs }) => blobs.map((blob) => JSON.stringify(blob)))).size).toBe(7);
  });

  it('ends at once, in a rest and while a bucket is silent', async () => {
    await put('a');
    const resting = new AbortController();
    let isResting = false;
    const watched: Store = {
      ...store,
      async doomUnnamed(page) {
        isResting = true;
        return store.doomUnnamed(page);
      },
    };
    const rested = walkAll({ store: watched, rest_ms: HOUR_MS, signal: resting.signal });
    await until('it rests', () => isResting);
    resting.abort();
    await rested;

    const silent = Promise.withResolvers<never>();
    const names = () => ({ [Symbol.asyncIterator]: () => ({ next: () => silent.promise }) });
    for (const deaf of [{ spaces: names }, { list: names }, { put: () => silent.promise }]) {
      const waiting = new AbortController();
      const waited = walkAll({ files: { ...files, ...deaf }, signal: waiting.signal });
      setTimeout(() => waiting.abort(), 20);
      await waited;
    }
    // What comes of it in the end is nobody's any more.
    silent.reject(new Error('The bucket is gone.'));
  });

  it('dooms nothing where another database keeps its files, too', async () => {
    const theirs = await openMemoryStore();
    onTestFinished(() => theirs.close());
    await walkAll();
    const stray = await put('stray');
    const refusal = { code: 'bad_config', details: { mark: expect.stringMatching(/^[0-9a-f]{64}$/) } };
    const refused = await walkAll({ store: theirs }).catch((error) => error);
    expect(refused).toMatchObject(refusal);
    await expect(walkAll()).rejects.toMatchObject(refusal);
    clock.advance(HOUR_MS);
    await sweep();
    expect(await isThere(stray)).toBe(true);
    // One of them was there by mistake, and its mark is removed, as the refusal says.
    const marks = (await Array.fromAsync(files.list(OWNERS))).map(({ sha256 }) => sha256);
    await files.remove(OWNERS, marks.find((mark) => mark !== refused.details.mark) ?? '');
    await walkAll();
    clock.advance(HOUR_MS);
    await sweep();
    expect(await isThere(stray)).toBe(false);
  });

  it('stops where another database begins to keep its files meanwhile', async () => {
    const theirs = await openMemoryStore();
    onTestFinished(() => theirs.close());
    const strays = [await put('a'), await put('b')];
    const doomed: BlobRef[] = [];
    const watched: Store = {
      ...store,
      async doomUnnamed({ blobs, now }) {
        doomed.push(...blobs);
        const answer = await store.doomUnnamed({ blobs, now });
        await walkAll({ store: theirs, files }).catch(() => undefined);
        return answer;
      },
    };
    await expect(walkAll({ store: watched, page_blobs: 1 })).rejects.toMatchObject({ code: 'bad_config' });
    expect(doomed).toHaveLength(1);
    expect(strays).toHaveLength(2);
  });
});

describe('the walks of an engine', () => {
  const errors: unknown[] = [];
  const clock = createFakeClock();

  /** An engine that was started five minutes ago. */
  function start({ onPage = async () => {} }: { onPage?: () => Promise<void> } = {}) {
    let pages = 0;
    const watched: Store = {
      ...store,
      async doomUnnamed(page) {
        pages += 1;
        await onPage();
        return store.doomUnnamed(page);
      },
    };
    const onError = (error: unknown) => errors.push(error);
    const walks = startWalk({ store: watched, files, clock, rest_ms: 0, onError });
    onTestFinished(() => walks.close());
    clock.advance(5 * MINUTE_MS);
    return {
      ...walks,
      get pages() {
        return pages;
      },
    };
  }

  beforeEach(async () => {
    await put('stray');
  });
  afterEach(() => {
    expect(errors.splice(0)).toEqual([]);
  });

  it('begin five minutes after the start, and come once a day', async () => {
    clock.advance(DAY_MS);
    const walks = start();
    clock.advance(-1);
    await walks.now();
    expect(walks.pages).toBe(0);
    clock.advance(1);
    await walks.now();
    expect(walks.pages).toBe(1);
    clock.advance(HOUR_MS);
    await walks.now();
    expect(walks.pages).toBe(1);
    for (const day of [2, 3, 4]) {
      clock.advance(DAY_MS);
      await walks.now();
      expect(walks.pages).toBe(day);
    }
    const days = await store.records({ pack: 'sheaf', space: '', kind: 'walks', after: 0, limit: 9 });
    expect(days).toHaveLength(1);
  });

  it('leave the mark of their database before the first one', async () => {
    const walks = start();
    clock.advance(-1);
    await walks.now();
    expect(await Array.fromAsync(files.list(OWNERS))).toHaveLength(1);
  });

  it('are made by one process of a cluster', async () => {
    const all = [start(), start(), start()];
    clock.advance(-15 * MINUTE_MS);
    await Promise.all(all.map((walks) => walks.now()));
    // With their marks left, they ask for the day at the same moment.
    clock.advance(15 * MINUTE_MS);
    await Promise.all(all.map((walks) => walks.now()));
    await Promise.all(all.map((walks) => walks.now()));
    expect(all.map(({ pages }) => pages).sort()).toEqual([0, 0, 1]);
    const restarted = start();
    await restarted.now();
    expect(restarted.pages).toBe(0);
  });

  it('are begun anew by the next start when the engine closed on the way', async () => {
    const reached = Promise.withResolvers<void>();
    const first = start({ onPage: async () => reached.resolve() });
    const walked = first.now();
    await reached.promise;
    await first.close();
    await walked;
    const next = start();
    await next.now();
    expect(next.pages).toBe(1);
  });

  it('tell once what stopped them, and try again the next day', async () => {
    const problem = new Error('The database is away.');
    const walks = start({ onPage: () => Promise.reject(problem) });
    await walks.now();
    await walks.now();
    expect(errors.splice(0)).toEqual([problem]);
    clock.advance(DAY_MS);
    await walks.now();
    expect(errors.splice(0)).toEqual([problem]);
    expect(walks.pages).toBe(2);
  });
});
