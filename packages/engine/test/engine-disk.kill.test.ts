import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createDiskFiles } from '../src/adapters/files-disk/disk-files.ts';
import type { Engine } from '../src/api.ts';
import { createEngine } from '../src/engine.ts';
import type { Processor } from '../src/ports/processor.ts';
import { createKeepOutputs } from '../src/runtime/keep-outputs.ts';
import { createSeededChance } from '../src/testing/chance.ts';
import { until } from '../src/testing/until.ts';
import { createLedger, type Ledger, takes } from './engine/ledger.ts';
import { canMount, mountSmallDisk, type SmallDisk } from './engine/small-disk.ts';
import { countsOf, numbered } from './engine/world.ts';

const MB = 1024 * 1024;

const mounts = canMount();
if (!mounts) console.warn('A full disk is not tested: this user may not mount a file system.');

/** Items that leave a lot behind in the database, or beside it. */
const talkative = () => createLedger({ run: () => randomBytes(90_000).toString('base64') });
const writing = () =>
  createLedger({
    run({ seq }, { output }) {
      writeFileSync(output(`${seq}.bin`), randomBytes(2 * MB));
      return { seq };
    },
  });

async function open(disk: SmallDisk, ledger: Ledger | null): Promise<{ engine: Engine; errors: unknown[] }> {
  const errors: unknown[] = [];
  const processors: Processor[] = ledger === null ? [] : [ledger.processor];
  const onError = (error: unknown) => errors.push(error);
  const engine = await createEngine({ data_dir: disk.folder, concurrency: 4, processors, onError });
  onTestFinished(() => engine.close({ drain_ms: 0 }));
  return { engine, errors };
}

const statusOf = async (engine: Engine, batch: { id: string }) => {
  const { status, pause_reason } = await engine.get({ batch_id: batch.id });
  return pause_reason ?? status;
};

/** All that a full disk is blamed for, and nothing else. */
function expectOnlyFull(errors: unknown[]): void {
  for (const error of errors) expect(error).toMatchObject({ code: 'storage_full' });
}

describe.skipIf(!mounts)('another disk for the files that is full', () => {
  it('lets outputs wait for room: nothing runs twice, fails, or uses up an attempt', async () => {
    const disk = mountSmallDisk(60);
    const { engine, errors, ledger, batch } = await fillWithOutputs(disk);
    await until('the operator is told', () => errors.length > 0);
    await until('all slots wait', async () => (await engine.get({ batch_id: batch.id })).running_items === 4);
    expect(await engine.get({ batch_id: batch.id })).toMatchObject({ status: 'running', failed_items: 0 });
    disk.empty();
    const ended = await engine.wait({ batch_id: batch.id, timeout_ms: 60_000 });
    expect(countsOf(ended)).toEqual({ status: 'completed', completed_items: 20 });
    expect(ledger.starts).toHaveLength(20);
    expectOnlyFull(errors);
    expect(await engine.checkInvariants()).toEqual([]);
  });

  it('gives items back unburned that are broken off while they wait', async () => {
    // What was stored and then broken off takes room, too.
    const disk = mountSmallDisk(90);
    const { engine, errors, ledger, batch } = await fillWithOutputs(disk);
    await until('the operator is told', () => errors.length > 0);
    await engine.pause({ batch_id: batch.id, mode: 'now' });
    await until('nothing waits', async () => (await engine.get({ batch_id: batch.id })).running_items === 0);
    disk.empty();
    await engine.resume({ batch_id: batch.id });
    const ended = await engine.wait({ batch_id: batch.id, timeout_ms: 60_000 });
    expect(countsOf(ended)).toEqual({ status: 'completed', completed_items: 20 });
    expect(ledger.starts.every(({ attempt }) => attempt === 1)).toBe(true);
  });

  it('takes in as many as fit, though more want in at the same time', async () => {
    const disk = mountSmallDisk(30);
    const folder = mkdtempSync(join(tmpdir(), 'sheaf-outputs-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const keepOutputs = createKeepOutputs({
      files: createDiskFiles({ root: disk.folder }),
      clock: { now: () => Date.now() },
      chance: createSeededChance(1),
      onDiskFull: async () => false,
      onNoRoom() {},
    });
    disk.fill(7 * MB);
    let kept = 0;
    const keep = async (name: string, signal: AbortSignal) => {
      const path = join(folder, name);
      writeFileSync(path, randomBytes(2 * MB));
      await keepOutputs({ space: 'default', outputs: [{ name, path }], signal });
      kept += 1;
    };
    const keeping = ['1', '2', '3', '4', '5'].map((name) => keep(name, new AbortController().signal));
    await until('those that fit are kept', () => kept === 3);
    const brokenOff = new AbortController();
    const last = keep('6', brokenOff.signal);
    brokenOff.abort();
    await expect(last).rejects.toMatchObject({ code: 'storage_full' });
    disk.empty();
    await Promise.all(keeping);
    expect(kept).toBe(5);
  });

  /** Forty megabytes of outputs on their way to a place that has room for ten. */
  async function fillWithOutputs(disk: SmallDisk) {
    const folder = mkdtempSync(join(tmpdir(), 'sheaf-engine-'));
    const errors: unknown[] = [];
    const ledger = writing();
    const engine = await createEngine({
      data_dir: folder,
      files: disk.folder,
      concurrency: 4,
      processors: [ledger.processor],
      onError: (error) => errors.push(error),
    });
    onTestFinished(async () => {
      await engine.close({ drain_ms: 0 });
      rmSync(folder, { recursive: true, force: true });
    });
    disk.fill(10 * MB);
    const items = numbered(20);
    const { batch } = await engine.create({ processor: 'ledger', items, max_attempts: 1, concurrency: 4 });
    return { engine, errors, ledger, batch };
  }
});

describe.skipIf(!mounts)('a disk that is full', () => {
  it.each([
    ['results', talkative, 500],
    ['outputs', writing, 80],
  ])('of %s pauses the work, loses nothing, and heals by itself', async (_, make, count) => {
    const disk = mountSmallDisk(400);
    const ledger = make();
    const { engine, errors } = await open(disk, ledger);
    disk.fill(30 * MB);
    const { batch } = await engine.create({
      processor: 'ledger',
      items: numbered(count),
      max_attempts: 1,
      concurrency: 4,
    });
    await until('the batch is paused', async () => (await statusOf(engine, batch)) === 'disk_full', {
      limit_ms: 60_000,
    });
    // What is there can be read; what would need room is refused, in plain words.
    expect((await engine.get({ batch_id: batch.id })).failed_items).toBe(0);
    const full = { code: 'storage_full' };
    await expect(engine.create({ processor: 'probe', items: numbered(1) })).rejects.toMatchObject(full);
    await expect(engine.append({ batch_id: batch.id }, numbered(1))).rejects.toMatchObject(full);
    await expect(engine.upload(Readable.from(['x']), { name: 'x' })).rejects.toMatchObject(full);
    await until('nothing runs', () => ledger.atWork === 0);
    const started = ledger.starts.length;

    disk.empty();
    const ended = await engine.wait({ batch_id: batch.id, timeout_ms: 60_000 });
    expect(countsOf(ended)).toEqual({ status: 'completed', completed_items: count });
    expect(ledger.starts.length).toBeGreaterThan(started);
    // What had its result kept it until there was room; only outputs that found none were made again.
    if (make === talkative) expect(ledger.starts).toHaveLength(count);
    expect(ledger.starts.every(({ attempt }) => attempt === 1)).toBe(true);
    expect(await engine.checkInvariants()).toEqual([]);
    expectOnlyFull(errors);
  });

  it('and stays so for a while troubles nobody: no flood of errors, reads go on, pause and cancel work', async () => {
    const disk = mountSmallDisk(300);
    const { engine, errors } = await open(disk, talkative());
    disk.fill(20 * MB);
    const { batch } = await engine.create({ processor: 'ledger', items: numbered(400), concurrency: 4 });
    await until('the batch is paused', async () => (await statusOf(engine, batch)) === 'disk_full', {
      limit_ms: 60_000,
    });
    disk.fill(0);
    const before = errors.length;
    // Two rounds of checks and several of the sweep.
    const from = performance.now();
    await until('some seconds have passed', async () => {
      await engine.get({ batch_id: batch.id });
      return performance.now() - from > 5_000;
    });
    expect(errors.length - before).toBeLessThan(30);
    expectOnlyFull(errors);
    disk.empty();
    const cancelled = await engine.cancel({ batch_id: batch.id });
    expect(cancelled.status).toBe('cancelled');
    expect(await engine.checkInvariants()).toEqual([]);
  });

  it('when the engine stopped, and has room when it starts again, goes on at once', async () => {
    const disk = mountSmallDisk(300);
    const first = await open(disk, talkative());
    disk.fill(20 * MB);
    const { batch } = await first.engine.create({
      processor: 'ledger',
      items: numbered(400),
      concurrency: 4,
    });
    await until('the batch is paused', async () => (await statusOf(first.engine, batch)) === 'disk_full', {
      limit_ms: 60_000,
    });
    await first.engine.close({ drain_ms: 0 });
    disk.empty();
    const { engine, errors } = await open(disk, talkative());
    const ended = await engine.wait({ batch_id: batch.id, timeout_ms: 60_000 });
    expect(countsOf(ended)).toEqual({ status: 'completed', completed_items: 400 });
    expect(errors).toEqual([]);
  });

  it('at the start is said in plain words, or does not matter', async () => {
    const disk = mountSmallDisk(200);
    const first = await open(disk, null);
    const { batch } = await first.engine.create({ processor: 'probe', items: numbered(50), start: false });
    await first.engine.close();
    disk.fill(0);
    const start = await open(disk, null).catch((error: unknown) => error);
    if (start instanceof Error) expect(start).toMatchObject({ code: 'storage_full' });
    else await (start as { engine: Engine }).engine.close();
    disk.empty();
    const { engine } = await open(disk, null);
    await engine.start({ batch_id: batch.id });
    expect((await engine.wait({ batch_id: batch.id, timeout_ms: 20_000 })).completed_items).toBe(50);
  });

  it('of somebody else is the problem of the item that wrote there', async () => {
    const other = mountSmallDisk(1);
    const disk = mountSmallDisk(300);
    const ledger = createLedger({
      run: () => writeFileSync(`${other.folder}/too-large`, Buffer.alloc(4 * MB)),
    });
    const { engine, errors } = await open(disk, ledger);
    const { batch } = await engine.create({ processor: 'ledger', items: numbered(2), max_attempts: 1 });
    const ended = await engine.wait({ batch_id: batch.id, timeout_ms: 20_000 });
    expect(countsOf(ended)).toEqual({ status: 'failed', failed_items: 2 });
    const item = await engine.item({ batch_id: batch.id, seq: 1 });
    expect(item.error?.code).toBe('storage_full');
    expect(errors).toEqual([]);
  });
});

it.skipIf(!mounts)('an engine on a disk with little room works without its reserve', async () => {
  const disk = mountSmallDisk(60);
  const ledger = createLedger({ run: takes(1) });
  const { engine, errors } = await open(disk, ledger);
  const { batch } = await engine.create({ processor: 'ledger', items: numbered(300), concurrency: 4 });
  const ended = await engine.wait({ batch_id: batch.id, timeout_ms: 20_000 });
  expect(countsOf(ended)).toEqual({ status: 'completed', completed_items: 300 });
  expect(errors).toEqual([]);
});
