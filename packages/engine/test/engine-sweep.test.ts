import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createLocalDispatch } from '../src/adapters/dispatch-local/local-dispatch.ts';
import { createDiskFiles } from '../src/adapters/files-disk/disk-files.ts';
import type { Store } from '../src/ports/store.ts';
import { type Sweep, startSweep } from '../src/runtime/sweep.ts';
import { makeFile, openMemoryStore } from '../src/testing/index.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

let folder: string;
let store: Store;
let sweep: Sweep;
const staleUploads: number[] = [];
const removed: string[] = [];
const errors: unknown[] = [];

beforeEach(async () => {
  vi.useFakeTimers({ now: Date.UTC(2026, 10, 5, 12) });
  folder = mkdtempSync(join(tmpdir(), 'sheaf-sweep-'));
  store = await openMemoryStore();
  sweep = startSweep({
    store,
    dispatch: createLocalDispatch(),
    files: {
      ...createDiskFiles({ root: folder }),
      async remove(_space, sha256) {
        removed.push(sha256);
      },
      async removeStaleUploads(now) {
        staleUploads.push(now);
        return 0;
      },
    },
    clock: { now: () => Date.now() },
    retention_days: 30,
    renewOwn: async () => undefined,
    recoverLost: async () => undefined,
    workers: () => 1,
    onError: (error) => errors.push(error),
  });
});
afterEach(async () => {
  await sweep.close();
  await store.close();
  vi.useRealTimers();
  rmSync(folder, { recursive: true });
  expect(errors.splice(0)).toEqual([]);
  for (const list of [staleUploads, removed]) list.length = 0;
});

it('drops broken uploads soon after the start, and every hour', async () => {
  await vi.advanceTimersByTimeAsync(MINUTE_MS + 1_000);
  expect(staleUploads).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(50 * MINUTE_MS);
  expect(staleUploads).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(12 * MINUTE_MS);
  expect(staleUploads).toHaveLength(2);
});

it('removes bytes an hour after the last file that named them', async () => {
  const file = makeFile('a', { created_at: Date.now() - DAY_MS - 1 });
  await store.addFile(file);
  await vi.advanceTimersByTimeAsync(HOUR_MS);
  expect(await store.file({ space: 'default', file_id: file.id }).catch(({ code }) => code)).toBe(
    'not_found',
  );
  expect(removed).toEqual([]);
  await vi.advanceTimersByTimeAsync(3 * MINUTE_MS);
  expect(removed).toEqual([file.sha256]);
});
