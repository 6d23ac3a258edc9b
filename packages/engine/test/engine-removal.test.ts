import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type Batch, errorCode } from '@sheaf/protocol';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { createLocalDispatch } from '../src/adapters/dispatch-local/local-dispatch.ts';
import { createLocalEvents } from '../src/adapters/events-local/local-events.ts';
import { createDiskFiles } from '../src/adapters/files-disk/disk-files.ts';
import { createInlineRunner } from '../src/adapters/runner-inline/inline-runner.ts';
import { openSqliteStore } from '../src/adapters/store-sql/sqlite.ts';
import { openThreadedSqliteStore } from '../src/adapters/store-sql/threaded.ts';
import { createRegistry } from '../src/domain/registry.ts';
import type { Files } from '../src/ports/files.ts';
import type { Store } from '../src/ports/store.ts';
import { createPulses } from '../src/runtime/pulse.ts';
import { removeDoomed } from '../src/runtime/removal.ts';
import { createUploads } from '../src/runtime/uploads.ts';
import { startWorks } from '../src/runtime/works.ts';
import { createFakeClock, makeBatch, makeFile, makeItem, until } from '../src/testing/index.ts';
import { createLedger } from './engine/ledger.ts';

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;

/** What happens elsewhere around the moment when bytes are stored. */
type Around = { before?: () => Promise<void>; after?: () => Promise<void> };

// One process that works, and one that sweeps: two stores on one database, one of them on threads of its
// own, which go on while the other one waits for them. Threads are slow to start: all tests share them.
const place = mkdtempSync(join(tmpdir(), 'sheaf-removal-'));
const clock = createFakeClock();
let ours: Store;
let theirs: Store;
beforeAll(async () => {
  const options = { file: join(place, 'sheaf.db'), durable: false };
  ours = await openThreadedSqliteStore(options);
  theirs = await openSqliteStore(options);
});
afterAll(async () => {
  await theirs.close();
  await ours.close();
  rmSync(place, { recursive: true });
});

/** A folder of files, who works there, and a text that no other test knows. */
async function openRoom() {
  const opened = new AsyncDisposableStack();
  onTestFinished(() => opened.disposeAsync());
  const text = `the same picture ${randomUUID()}`;
  const folder = mkdtempSync(join(place, 'room-'));
  const disk = createDiskFiles({ root: join(folder, 'files') });
  const chance = { random: () => 0.5, bytes: (count: number) => randomBytes(count) };
  let around: Around = {};
  const watched = async <T>(store: () => Promise<T>): Promise<T> => {
    const { before, after } = around;
    around = {};
    await before?.();
    const stored = await store();
    await after?.();
    return stored;
  };
  const files: Files = {
    ...disk,
    put: (...args) => watched(() => disk.put(...args)),
    adopt: (...args) => watched(() => disk.adopt(...args)),
  };
  const ledger = createLedger({
    name: 'painter',
    run(_, { output }) {
      writeFileSync(output('picture.txt'), text);
      return {};
    },
  });
  let refusals = 0;
  const counted = async <T>(naming: Promise<T>): Promise<T> => {
    try {
      return await naming;
    } catch (error) {
      if (errorCode(error) === 'bytes_doomed') refusals += 1;
      throw error;
    }
  };
  const store: Store = {
    ...ours,
    addFile: (...args) => counted(ours.addFile(...args)),
    record: (...args) => counted(ours.record(...args)),
  };
  const uploads = createUploads({ store, files, clock, chance });

  /** Removes what is doomed, in the other process. */
  const sweep = (theirFiles: Files = disk) =>
    removeDoomed({ store: theirs, files: theirFiles, clock, grace_ms: 0 });

  const room = {
    disk,
    ledger,
    sweep,
    /** How often bytes could not be named. */
    get refusals() {
      return refusals;
    },
    /** Called at the next store. */
    set around(value: Around) {
      around = value;
    },
    isThere: async () => (await disk.size('default', makeFile(text).sha256)) !== null,
    /** Bytes that lost their last name. */
    async doom() {
      const stored = await disk.put('default', Readable.from([text]));
      const file = makeFile(text, { ...stored, created_at: clock.now() - DAY_MS - 1 });
      await ours.addFile(file);
      await room.prune();
    },
    async prune() {
      while ((await theirs.prune({ now: clock.now(), limit: 10 })).removed > 0);
    },
    upload: () =>
      uploads.put(Readable.from([text]), { space: 'default', name: 'a.txt', media_type: 'text/plain' }),
    /** Runs one item whose output is the text, and answers its batch. */
    async paint(): Promise<Batch> {
      const items = [makeItem({ input: '{}' })];
      const { batch } = await ours.create(makeBatch({ processor: 'painter' }), items, { now: clock.now() });
      const act = { space: batch.space, batch_id: batch.id, now: clock.now(), by: 'tester' };
      await ours.start(act);
      await works.offer(batch);
      await until('the batch has ended', async () => (await ours.get(act)).completed_at !== null);
      return await ours.get(act);
    },
  };
  const errors: unknown[] = [];
  const runner = createInlineRunner();
  opened.defer(() => runner.close());
  const pulses = createPulses({ events: createLocalEvents(), clock });
  opened.defer(() => pulses.close());
  const works = await startWorks({
    ...{ store, dispatch: createLocalDispatch(), files, clock, chance, runner, pulses },
    processors: createRegistry('processor', [[ledger.name, ledger.processor] as const]),
    ...{ boot: randomUUID(), version: '1.0.0', folder, work_dir: join(folder, 'work'), isShared: true },
    ...{ pools: ['default'], concurrency: 2, recovery: null, retention_days: 30 },
    onError: (error) => errors.push(error),
    opened,
  });
  opened.defer(async () => {
    expect(await ours.checkInvariants()).toEqual([]);
    expect(errors).toEqual([]);
  });
  return room;
}

type Room = Awaited<ReturnType<typeof openRoom>>;

/** A removal that stands still before it removes anything, until it is told to go on. */
function slowly({ sweep, disk }: Room) {
  const [reached, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const files: Files = {
    ...disk,
    async remove(...args) {
      reached.resolve();
      await released.promise;
      await disk.remove(...args);
    },
  };
  let ended = Promise.resolve();
  return {
    async begin() {
      ended = sweep(files);
      await reached.promise;
    },
    async goOn() {
      released.resolve();
      await ended;
    },
  };
}

describe('an upload of bytes that are being removed elsewhere', () => {
  it('keeps bytes that are only doomed', async () => {
    const room = await openRoom();
    await room.doom();
    await room.upload();
    await room.sweep();
    expect(await room.isThere()).toBe(true);
  });

  it('is told to send them again when they went before they had a name', async () => {
    const room = await openRoom();
    await room.doom();
    room.around = { after: () => room.sweep() };
    await expect(room.upload()).rejects.toMatchObject({ code: 'store_unavailable' });
    expect(await room.isThere()).toBe(false);
    const file = await room.upload();
    await room.sweep();
    expect(await ours.file({ space: 'default', file_id: file.id })).toEqual(file);
    expect(await room.isThere()).toBe(true);
  });

  it('is kept when it was stored after the removal', async () => {
    const room = await openRoom();
    await room.doom();
    room.around = { before: () => room.sweep() };
    await room.upload();
    await room.sweep();
    expect(await room.isThere()).toBe(true);
  });

  it('waits for the end of a removal, and believes only what is there then', async () => {
    const room = await openRoom();
    await room.doom();
    const removal = slowly(room);
    room.around = { after: () => removal.begin() };
    let isOver = false;
    const upload = room.upload().finally(() => {
      isOver = true;
    });
    const refused = expect(upload).rejects.toMatchObject({ code: 'store_unavailable' });
    await until('it was refused twice', () => room.refusals >= 2);
    expect(isOver).toBe(false);
    await removal.goOn();
    await refused;
  });
});

describe('an output whose bytes are being removed elsewhere', () => {
  it('keeps bytes that are only doomed', async () => {
    const room = await openRoom();
    await room.doom();
    expect(await room.paint()).toMatchObject({ status: 'completed' });
    await room.sweep();
    expect(await room.isThere()).toBe(true);
    expect(room.ledger.starts).toHaveLength(1);
  });

  it('is made again, with no attempt burned, when it went before it had a name', async () => {
    const room = await openRoom();
    await room.doom();
    room.around = { after: () => room.sweep() };
    expect(await room.paint()).toMatchObject({ status: 'completed', completed_items: 1 });
    expect(room.ledger.starts.map(({ attempt }) => attempt)).toEqual([1, 1]);
    await room.sweep();
    expect(await room.isThere()).toBe(true);
  });

  it('is kept when it was stored after the removal, and its item runs once', async () => {
    const room = await openRoom();
    await room.doom();
    room.around = { before: () => room.sweep() };
    expect(await room.paint()).toMatchObject({ status: 'completed' });
    expect(room.ledger.starts).toHaveLength(1);
    await room.sweep();
    expect(await room.isThere()).toBe(true);
  });

  it('waits for the end of a removal, and is made again when it went', async () => {
    const room = await openRoom();
    await room.doom();
    const removal = slowly(room);
    room.around = { after: () => removal.begin() };
    const painted = room.paint();
    await until('it was refused twice', () => room.refusals >= 2);
    expect(room.ledger.starts).toHaveLength(1);
    await removal.goOn();
    expect(await painted).toMatchObject({ status: 'completed' });
    expect(room.ledger.starts.map(({ attempt }) => attempt)).toEqual([1, 1]);
    expect(await room.isThere()).toBe(true);
  });

  it('is made again after its batch was deleted', async () => {
    const room = await openRoom();
    const first = await room.paint();
    await ours.delete({ space: 'default', batch_id: first.id, now: clock.now(), by: 'tester' });
    room.around = {
      async after() {
        await room.prune();
        await room.sweep();
      },
    };
    expect(await room.paint()).toMatchObject({ status: 'completed' });
    await room.prune();
    await room.sweep();
    expect(await room.isThere()).toBe(true);
  });
});

describe('a process that dies', () => {
  it('between pruning and removal leaves nothing behind', async () => {
    const room = await openRoom();
    await room.doom();
    expect(await room.isThere()).toBe(true);
    await room.sweep();
    expect(await room.isThere()).toBe(false);
  });

  it.each(['before', 'after'])('%s it removed what it had claimed is taken over', async (when) => {
    const room = await openRoom();
    await room.doom();
    const now = clock.now();
    const [blob] = await theirs.claimDoomed({ now, doomed_before: now, limit: 1 });
    if (when === 'after') await room.disk.remove('default', blob?.sha256 ?? '');
    await room.sweep();
    expect(await room.isThere()).toBe(when === 'before');
    clock.advance(2 * MINUTE_MS);
    await room.sweep();
    expect(await room.isThere()).toBe(false);
    await expect(room.upload()).resolves.toMatchObject({ sha256: blob?.sha256 });
    await room.sweep();
    expect(await room.isThere()).toBe(true);
  });
});

describe('bytes that cannot be removed', () => {
  const failing = (room: Room, code: string): Files => ({
    ...room.disk,
    remove: () => Promise.reject(Object.assign(new Error('no'), { code })),
  });

  it('may be named when it was refused, and are tried again later', async () => {
    const room = await openRoom();
    await room.doom();
    await expect(room.sweep(failing(room, 'EACCES'))).rejects.toThrow('no');
    await room.upload();
    expect(await room.isThere()).toBe(true);
  });

  it('are removed once more when nobody knows whether they were', async () => {
    const room = await openRoom();
    await room.doom();
    await expect(room.sweep(failing(room, 'store_unavailable'))).rejects.toThrow('no');
    await room.sweep();
    expect(await room.isThere()).toBe(true);
    clock.advance(2 * MINUTE_MS);
    await room.sweep();
    expect(await room.isThere()).toBe(false);
  });
});
