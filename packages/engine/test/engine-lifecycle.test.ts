import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createEngine } from '../src/engine.ts';
import { until } from '../src/testing/until.ts';
import { createLedger } from './engine/ledger.ts';
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
