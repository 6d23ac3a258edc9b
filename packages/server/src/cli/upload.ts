import { openAsBlob } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@sheaf/client';
import { ERRORS, errorCode } from '@sheaf/protocol';
import { failure } from './failure.ts';
import type { InputFile } from './inputs.ts';

/** How far an upload is. */
export type UploadState = {
  files: number;
  total_files: number;
  bytes: number;
  total_bytes: number;
  bytes_per_second: number;
  isDone: boolean;
};

const MOST_FILES = 200;
const FIRST_FILES = 32;
const MOST_BYTES = 64 * 1_048_576;
const LEAST_BYTES = 1_048_576;

/** A lot that takes about this long is large enough to be fast and small enough to be done again. */
const LOT_MS = 2_000;

/** Tries of one lot when the server is away or its disk is full. */
const MAX_TRIES = 6;

/**
 * Uploads files in their order, a lot of them a call, holding no more than a piece of one in memory.
 * A lot that broke is not simply sent again: what the batch has of it by then counts.
 *
 * @param options.from How many of the files the batch has already. @default 0
 * @param options.base How many items it had before the first of these files. @default 0
 * @param options.onLot Called when a lot is in, for the first work to start.
 */
export async function uploadFiles(
  client: Client,
  batchId: string,
  files: readonly InputFile[],
  options: {
    from?: number;
    base?: number;
    onState: (state: UploadState) => void;
    onLot?: () => Promise<void>;
    signal?: AbortSignal;
  },
): Promise<void> {
  const meter = createMeter(files, options.from ?? 0, options.onState);
  let done = options.from ?? 0;
  let tries = 0;
  let most = { files: FIRST_FILES, bytes: MOST_BYTES / 8 };
  while (done < files.length) {
    options.signal?.throwIfAborted();
    const lot = takeLot(files, done, most);
    const before = performance.now();
    try {
      const accepted = await sendLot(client, batchId, lot, meter.add, options.signal);
      done += accepted;
      tries = 0;
      most = nextLot(lot, performance.now() - before);
    } catch (error) {
      tries += 1;
      if (!isPassing(error) || tries >= MAX_TRIES) throw error;
      await sleep(
        250 * 2 ** tries,
        undefined,
        options.signal === undefined ? {} : { signal: options.signal },
      );
      const there = await itemsOf(client, batchId, error);
      done = Math.min(Math.max(done, there - (options.base ?? 0)), done + lot.length);
    }
    meter.settle(done);
    await options.onLot?.();
  }
  meter.settle(done, true);
}

function takeLot(
  files: readonly InputFile[],
  from: number,
  most: { files: number; bytes: number },
): InputFile[] {
  const lot: InputFile[] = [];
  let bytes = 0;
  for (let index = from; index < files.length && lot.length < most.files; index++) {
    const file = files[index];
    if (file === undefined || (lot.length > 0 && bytes + file.bytes > most.bytes)) break;
    lot.push(file);
    bytes += file.bytes;
  }
  return lot;
}

function nextLot(lot: readonly InputFile[], ms: number): { files: number; bytes: number } {
  const bytes = lot.reduce((sum, file) => sum + file.bytes, 0);
  const fitting = (bytes / Math.max(1, ms)) * LOT_MS;
  return { files: MOST_FILES, bytes: Math.min(MOST_BYTES, Math.max(LEAST_BYTES, fitting)) };
}

async function sendLot(
  client: Client,
  batchId: string,
  lot: readonly InputFile[],
  onBytes: (bytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<number> {
  const contents = await Promise.all(
    lot.map(async ({ path, name }) => {
      const content = await openAsBlob(path).catch((error) => {
        throw failure(
          'no_input',
          `cannot read ${path} any more (${error.message})`,
          `what came before it is in; with the file back:  sheaf add ${batchId} PATH… --rest`,
        );
      });
      return { name, content };
    }),
  );
  const { accepted } = await client.addFiles(batchId, contents, { onBytes, ...(signal && { signal }) });
  return accepted;
}

function isPassing(error: unknown): boolean {
  const code = errorCode(error);
  return code !== undefined && ERRORS[code].retryable;
}

/** Items the batch has after a broken lot; nobody else adds to it while we upload. */
async function itemsOf(client: Client, batchId: string, error: unknown): Promise<number> {
  const { total_items } = await client.get(batchId).catch(() => {
    throw error;
  });
  return total_items;
}

/** Counts bytes as they leave, and corrects itself by what was accepted. */
function createMeter(files: readonly InputFile[], from: number, onState: (state: UploadState) => void) {
  const upTo = [0];
  for (const file of files) upTo.push((upTo.at(-1) ?? 0) + file.bytes);
  const startedAt = performance.now();
  const state: UploadState = {
    files: from,
    total_files: files.length,
    bytes: upTo[from] ?? 0,
    total_bytes: upTo.at(-1) ?? 0,
    bytes_per_second: 0,
    isDone: false,
  };
  const first = state.bytes;
  const tell = () => {
    state.bytes_per_second = ((state.bytes - first) / Math.max(1, performance.now() - startedAt)) * 1000;
    onState(state);
  };
  return {
    add(bytes: number) {
      state.bytes += bytes;
      tell();
    },
    settle(done: number, isDone = false) {
      state.files = done;
      state.bytes = upTo[done] ?? state.bytes;
      state.isDone = isDone;
      tell();
    },
  };
}
