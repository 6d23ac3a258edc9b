import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { defineProcessor } from '../src/define-processor.ts';
import { createEngine } from '../src/engine.ts';
import type { Processor } from '../src/ports/processor.ts';
import { until } from '../src/testing/until.ts';
import { deaf } from './engine/children.ts';
import { createLedger, takes, waits } from './engine/ledger.ts';
import { countsOf, numbered, openWorld } from './engine/world.ts';

// Thousands of commits and many starts, on whatever disk and beside whatever else runs.
vi.setConfig({ testTimeout: 60_000 });

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sheaf-engine-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

describe('opening', () => {
  it('makes the folder when it is missing', async () => {
    const folder = join(makeFolder(), 'a', 'b');
    const engine = await createEngine({ data_dir: folder });
    expect(existsSync(join(folder, 'sheaf.db'))).toBe(true);
    expect(await engine.about()).toMatchObject({ journal_mode: 'wal', synchronous: 'FULL' });
    await engine.close();
  });

  it('is refused while another engine works on the folder, and works after it', async () => {
    const world = await openWorld();
    await expect(createEngine({ data_dir: world.folder })).rejects.toMatchObject({
      code: 'already_running',
      message: expect.stringContaining(String(process.pid)),
    });
    expect((await world.make({ items: [] })).status).toBe('completed');
    await world.reopen();
  });

  it('is refused with a wrong option, and takes no folder', async () => {
    const folder = makeFolder();
    const twins = [createLedger().processor, createLedger().processor];
    for (const wrong of [{ concurrency: 0 }, { processors: twins }]) {
      await expect(createEngine({ data_dir: folder, ...wrong })).rejects.toMatchObject({
        code: 'bad_config',
      });
    }
    const engine = await createEngine({ data_dir: folder });
    await engine.close();
  });

  it('says what is wrong when the folder is a file', async () => {
    const path = join(makeFolder(), 'a-file');
    writeFileSync(path, '');
    await expect(createEngine({ data_dir: path })).rejects.toMatchObject({ code: 'bad_config' });
  });

  it('says that a damaged database is damaged, and lets the folder go', async () => {
    const folder = makeFolder();
    writeFileSync(join(folder, 'sheaf.db'), 'this is no database at all'.repeat(400));
    await expect(createEngine({ data_dir: folder })).rejects.toMatchObject({ code: 'storage_failed' });
    rmSync(join(folder, 'sheaf.db'));
    const engine = await createEngine({ data_dir: folder });
    await engine.close();
  });
});

describe('closing', () => {
  it('lets running items finish, starts no others, and loses nothing', async () => {
    const ledger = createLedger({ run: takes(100) });
    const world = await openWorld({ processors: [ledger.processor] });
    const batch = await world.make({ processor: 'ledger', items: numbered(12), concurrency: 4 });
    await until('four items run', () => ledger.atWork === 4);
    await world.reopen({ close_drain_ms: 5_000, work: false });
    expect(ledger.ends).toHaveLength(ledger.starts.length);
    expect(world.engine.recovery).toEqual({ leases: 0, recovered: [], interrupted: [], poisoned: 0 });
    expect(countsOf(await world.get(batch))).toMatchObject({ completed_items: ledger.ends.length });
    await world.reopen({ work: true });
    expect(world.engine.recovery.leases).toBe(0);
    expect(countsOf(await world.end(batch))).toEqual({ status: 'completed', completed_items: 12 });
    expect(ledger.starts).toHaveLength(12);
  });

  it('without a drain gives running items back unburned, also those that must not run twice', async () => {
    const ledger = createLedger({ idempotent: false, run: waits });
    const world = await openWorld({ processors: [ledger.processor] });
    const batch = await world.make({
      processor: 'ledger',
      items: numbered(4),
      concurrency: 4,
      max_attempts: 1,
    });
    await until('all run', () => ledger.atWork === 4);
    await world.reopen();
    expect(ledger.atWork).toBe(0);
    expect(world.engine.recovery).toEqual({ leases: 0, recovered: [], interrupted: [], poisoned: 0 });
    await until('all run again', () => ledger.atWork === 4);
    ledger.open();
    expect(countsOf(await world.end(batch))).toEqual({ status: 'completed', completed_items: 4 });
    expect(ledger.starts.every(({ attempt }) => attempt === 1)).toBe(true);
  });

  it('ends also when an item in this process never does', async () => {
    const deafened = defineProcessor({ name: 'deafened', run: () => new Promise(() => undefined) });
    const world = await openWorld({ processors: [deafened as Processor] });
    const batch = await world.make({ processor: 'deafened', items: numbered(2), concurrency: 1 });
    await until('one runs', async () => (await world.get(batch)).running_items === 1);
    await world.reopen({ work: false });
    expect(countsOf(await world.get(batch))).toMatchObject({ status: 'running', pending_items: 2 });
  });

  it('ends also when an item in a child never does', async () => {
    const world = await openWorld({ processors: [deaf as unknown as Processor] });
    const path = join(world.folder, 'signed');
    const batch = await world.make({ processor: 'deaf', config: { path }, items: numbered(2) });
    await until('they run', () => existsSync(path));
    await world.reopen({ work: false });
    expect(countsOf(await world.get(batch))).toMatchObject({ status: 'running', pending_items: 2 });
  });

  it('a second time, without a drain, ends the wait of the first', async () => {
    const ledger = createLedger({ run: waits });
    const world = await openWorld({ processors: [ledger.processor] });
    await world.make({ processor: 'ledger', items: numbered(2) });
    await until('they run', () => ledger.atWork === 2);
    const first = world.engine.close({ drain_ms: 3_600_000 });
    await Promise.all([world.engine.close({ drain_ms: 0 }), first]);
    expect(ledger.atWork).toBe(0);
    await world.reopen();
  });

  it('amid a fast batch stops soon, and nothing is lost or done twice', async () => {
    const ledger = createLedger();
    const world = await openWorld({ processors: [ledger.processor], concurrency: 50 });
    const batch = await world.make({ processor: 'ledger', items: numbered(20_000), concurrency: 50 });
    for (const goal of [500, 4_000, 9_000]) {
      await until(`${goal} have begun`, () => ledger.starts.length > goal);
      await world.reopen({ close_drain_ms: 20_000 });
      expect(world.engine.recovery.leases).toBe(0);
    }
    expect(countsOf(await world.end(batch, 30_000))).toEqual({
      status: 'completed',
      completed_items: 20_000,
    });
    expect(ledger.starts).toHaveLength(20_000);
  });

  it('while a batch is only being picked up starts nothing any more', async () => {
    const ledger = createLedger({ run: takes(5) });
    const world = await openWorld({ processors: [ledger.processor] });
    for (let round = 0; round < 5; round++) {
      await world.make({ processor: 'ledger', items: numbered(2_000) });
      await world.reopen({ close_drain_ms: 3_600_000 });
    }
    expect(ledger.ends.length).toBeLessThan(8_000);
    expect(ledger.ends).toHaveLength(ledger.starts.length - ledger.atWork);
    const { data } = await world.engine.list({ limit: 10, offset: 0 });
    for (const batch of data) await world.engine.cancel({ batch_id: batch.id });
  });

  it('ends the waits of its callers', async () => {
    const ledger = createLedger({ run: waits });
    const world = await openWorld({ processors: [ledger.processor] });
    const batch = await world.make({ processor: 'ledger', items: numbered(1) });
    const waiting = world.engine.wait({ batch_id: batch.id });
    await Promise.all([
      expect(waiting).rejects.toMatchObject({ code: 'store_unavailable' }),
      world.engine.close({ drain_ms: 0 }),
    ]);
    await expect(world.get(batch)).rejects.toMatchObject({ code: 'store_unavailable' });
    await world.reopen();
  });
});

describe('an engine that does not work', () => {
  it('looks and steers, and runs nothing', async () => {
    const ledger = createLedger();
    const world = await openWorld({ processors: [ledger.processor], work: false });
    const batch = await world.make({ processor: 'ledger', items: numbered(3) });
    expect(batch.status).toBe('queued');
    await world.engine.pause({ batch_id: batch.id, mode: 'now' });
    await world.engine.resume({ batch_id: batch.id });
    expect(await world.engine.progress({ batch_id: batch.id })).toMatchObject({ completed: 0, running: [] });
    await world.reopen({ work: true });
    expect(countsOf(await world.end(batch))).toEqual({ status: 'completed', completed_items: 3 });
  });
});

describe('the processor of a batch', () => {
  const version = (text: string) => createLedger({ name: 'versioned', version: text });

  it('that is missing after a restart is waited for, and said so', async () => {
    const world = await openWorld({ processors: [version('1.0.0').processor] });
    const batch = await world.make({ processor: 'versioned', items: numbered(2), start: false });
    await world.reopen({ processors: [] });
    await world.engine.start({ batch_id: batch.id });
    await until('it says what it waits for', async () => (await world.get(batch)).waiting_for !== null);
    expect((await world.get(batch)).waiting_for).toBe('The processor versioned is not installed here.');
    const { data } = await world.engine.list({ limit: 1, offset: 0 });
    expect(data[0]?.waiting_for).toContain('not installed');
    await world.reopen({ processors: [version('1.0.0').processor] });
    expect(await world.end(batch)).toMatchObject({ completed_items: 2, waiting_for: null });
  });

  it('of another major version is not taken, one of another minor version is', async () => {
    const world = await openWorld({ processors: [version('1.4.0').processor] });
    const batch = await world.make({ processor: 'versioned', items: numbered(2), start: false });
    const other = version('2.0.0');
    await world.reopen({ processors: [other.processor] });
    await world.engine.start({ batch_id: batch.id });
    await until('it says what it waits for', async () => (await world.get(batch)).waiting_for !== null);
    expect((await world.get(batch)).waiting_for).toBe('It began with versioned 1.4.0; installed is 2.0.0.');
    expect(other.starts).toHaveLength(0);
    const minor = version('1.9.1');
    await world.reopen({ processors: [minor.processor] });
    await world.end(batch);
    expect(minor.starts).toHaveLength(2);
  });

  it('that is missing refuses what needs it, and nothing else', async () => {
    const world = await openWorld({ processors: [version('1.0.0').processor] });
    const batch = await world.make({ processor: 'versioned', items: numbered(2), start: false });
    await world.reopen({ processors: [] });
    const target = { batch_id: batch.id };
    await expect(world.engine.append(target, numbered(1))).rejects.toMatchObject({
      code: 'unknown_processor',
    });
    await world.engine.update({ ...target, fields: { name: 'renamed' } });
    expect((await world.engine.cancel(target)).status).toBe('cancelled');
    expect((await world.engine.list({ limit: 1, offset: 0 })).total).toBe(1);
  });
});
