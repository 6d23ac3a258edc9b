import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Client } from '@sheaf/client';
import { errorCode, type Item, type ItemFile, type Wire } from '@sheaf/protocol';
import { failure } from './failure.ts';
import { createUniqueNames, safeName } from './safe-name.ts';

export type Downloaded = {
  dir: string;
  files: number;
  bytes: number;
  /** Files that were there already, with the same content. */
  kept: number;
  /** How long the items took, in milliseconds, for the summary. */
  durations: number[];
};

const AT_ONCE = 6;
const PAGE = 200;

/** More would only make the same percentile of more numbers. */
const MOST_DURATIONS = 100_000;

/**
 * Fetches the outputs of a batch's completed items into a folder. Each is written under another name
 * until it is whole and its sha256 is right, so nothing half is ever seen. Existing files are kept: one
 * with the same content counts as fetched, beside another one the new file gets a number.
 *
 * @param options.folderOf The folder below `dir` for an item's outputs. @default `dir` itself
 */
export async function downloadOutputs(
  client: Client,
  batchId: string,
  options: {
    dir: string;
    folderOf?: (seq: number) => string;
    onState?: (files: number, bytes: number) => void;
    signal?: AbortSignal | undefined;
  },
): Promise<Downloaded> {
  const result: Downloaded = { dir: options.dir, files: 0, bytes: 0, kept: 0, durations: [] };
  const uniqueName = createUniqueNames();
  const fetchOne = async ({ item, file }: { item: Wire<Item>; file: ItemFile }) => {
    options.signal?.throwIfAborted();
    const folder = safeFolder(options.dir, options.folderOf?.(item.seq) ?? '');
    // Before anything is waited for: equal names are numbered in the order of their items, each time alike.
    const name = uniqueName(folder, safeName(file.name));
    await mkdir(folder, { recursive: true });
    const isNew = await place(client, file, { folder, name, uniqueName, signal: options.signal });
    result.files += 1;
    result.bytes += file.bytes;
    if (!isNew) result.kept += 1;
    options.onState?.(result.files, result.bytes);
  };
  for await (const items of completedItems(client, batchId)) {
    if (result.durations.length < MOST_DURATIONS) {
      result.durations.push(...items.map((item) => item.duration_ms).filter((ms) => ms !== null));
    }
    const files = items.flatMap((item) => item.outputs.map((file) => ({ item, file })));
    await inParallel(files, AT_ONCE, fetchOne);
  }
  return result;
}

async function* completedItems(client: Client, batchId: string): AsyncGenerator<Wire<Item>[]> {
  let after: string | null = null;
  do {
    const query = { status: ['completed'] as const, limit: PAGE, ...(after !== null && { after }) };
    const page: Awaited<ReturnType<Client['items']>> = await client.items(batchId, query);
    yield page.data;
    after = page.next;
  } while (after !== null);
}

/** Fetches one file to its place, or to another name beside a different file. Answers false when it was there already. */
async function place(
  client: Client,
  file: ItemFile,
  where: {
    folder: string;
    name: string;
    uniqueName: (folder: string, name: string) => string;
    signal: AbortSignal | undefined;
  },
): Promise<boolean> {
  const { folder, uniqueName, signal } = where;
  let { name } = where;
  while (existsSync(join(folder, name))) {
    if (await isSame(join(folder, name), file)) return false;
    name = uniqueName(folder, safeName(file.name));
  }
  // In the same folder, so that the rename is only a rename.
  const temporary = join(folder, `.sheaf-${randomUUID()}.part`);
  try {
    await fetchTo(client, file, temporary, signal);
    await rename(temporary, join(folder, name));
    return true;
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function fetchTo(
  client: Client,
  file: ItemFile,
  path: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const content = await client.content(file.id, signal === undefined ? {} : { signal });
  const hash = createHash('sha256');
  const hashing = new Transform({
    transform(chunk, _encoding, callback) {
      hash.update(chunk);
      callback(null, chunk);
    },
  });
  // The same type under two names: fetch's and Node's.
  const source = Readable.fromWeb(content as Parameters<typeof Readable.fromWeb>[0]);
  await pipeline(
    source,
    hashing,
    createWriteStream(path, { flags: 'wx' }),
    signal === undefined ? {} : { signal },
  );
  const digest = hash.digest('hex');
  if (digest !== file.sha256) {
    throw failure(
      'internal',
      `${file.name} arrived with other bytes (sha256 ${digest}, expected ${file.sha256})`,
      'fetch again: sheaf download',
    );
  }
}

async function isSame(path: string, file: ItemFile): Promise<boolean> {
  if ((await stat(path)).size !== file.bytes) return false;
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex') === file.sha256;
}

/** A folder below `dir`, whatever the parts of its name are. */
function safeFolder(dir: string, folder: string): string {
  const parts = folder.split('/').filter((part) => part !== '');
  const path = resolve(dir, ...parts.map(safeName));
  if (path !== resolve(dir) && !path.startsWith(resolve(dir) + sep)) {
    throw failure('internal', `${folder} would lie outside of ${dir}`);
  }
  return path;
}

/** A folder of this name that is new or empty: `photos-out`, else `photos-out-2`. */
export async function freeFolder(path: string): Promise<string> {
  for (let number = 1; ; number++) {
    const tried = number === 1 ? path : `${path}-${number}`;
    const entries = await readdir(tried).catch((error) => {
      if (error.code === 'ENOENT') return [];
      if (error.code === 'ENOTDIR') return ['a file'];
      throw error;
    });
    if (entries.length === 0) return tried;
  }
}

async function inParallel<T>(
  values: readonly T[],
  width: number,
  use: (value: T) => Promise<void>,
): Promise<void> {
  const rest = values.values();
  const workers = Array.from({ length: Math.min(width, values.length) }, async () => {
    for (const value of rest) await use(value);
  });
  await Promise.all(workers);
}

/** Words for a problem of the own disk while fetching. */
export function writeFailure(error: unknown, dir: string): unknown {
  if (errorCode(error) !== undefined || !(error instanceof Error) || !('code' in error)) return error;
  const reasons: Record<string, string> = {
    ENOSPC: 'the disk is full',
    EACCES: 'permission denied',
    EROFS: 'the file system is read-only',
    EEXIST: 'a file is in the way',
    ENOTDIR: 'a file is in the way',
  };
  const reason = reasons[String(error.code)];
  return reason === undefined
    ? error
    : failure(
        error.code === 'ENOSPC' ? 'storage_full' : 'usage',
        `cannot write to ${dir} (${reason})`,
        'name another folder with --out DIR; the results are kept: sheaf download',
      );
}
