import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { until } from '../src/testing/until.ts';
import { isAlive, openHostedFolder } from './engine/hosted.ts';
import { countsOf, numbered } from './engine/world.ts';

const WORK = { processor: 'ledger', concurrency: 4, max_attempts: 1 };

describe('an engine whose process is killed', () => {
  it('goes on by itself, accepts each result once, and burns no attempt', async () => {
    const hosted = openHostedFolder();
    await hosted.make({ ...WORK, items: numbered(600), config: { wait_ms: 5 } });
    const known = new Map<number, unknown>();
    for (let round = 1; round <= 4; round++) {
      const host = hosted.start();
      await until('it works', () => hosted.entries().length > round * 100, { limit_ms: 60_000 });
      await host.kill();
      const { items } = await hosted.look();
      for (const { seq, status, result } of items) {
        if (known.has(seq)) expect(result).toEqual(known.get(seq));
        if (status === 'completed') known.set(seq, result);
      }
    }
    const last = hosted.start();
    await last.finished();

    const { batch, items } = await hosted.look();
    expect(countsOf(batch)).toEqual({ status: 'completed', completed_items: 600 });
    const nonces = new Set(hosted.entries().map(({ nonce }) => nonce));
    for (const { seq, result } of items) {
      if (known.has(seq)) expect(result).toEqual(known.get(seq));
      expect(nonces.has((result as { nonce: string }).nonce)).toBe(true);
    }
    // Only what was under way at a crash ran twice.
    expect(hosted.entries().length).toBeLessThan(600 + 4 * 150);
  });

  it('tells what it found and takes it up, soon after the start', async () => {
    const hosted = openHostedFolder();
    await hosted.make({ ...WORK, items: numbered(20), config: { wait_ms: 300 } });
    const first = hosted.start();
    await until('it works', () => hosted.entries().length > 2, { limit_ms: 60_000 });
    await first.kill();
    const second = hosted.start();
    const { recovery } = await second.said('ready');
    expect(recovery).toMatchObject({ leases: 1, interrupted: [], poisoned: 0 });
    expect(recovery?.recovered).toHaveLength(1);
    await second.finished();
  });

  it('twenty times in a row at its start recovers as if it had been once', async () => {
    const hosted = openHostedFolder();
    await hosted.make({ ...WORK, items: numbered(12), config: { wait_ms: 400 } });
    const first = hosted.start();
    await until('it works', () => hosted.entries().length > 2, { limit_ms: 60_000 });
    await first.kill();
    for (let crash = 1; crash <= 20; crash++) {
      // Without the processor nothing runs: whatever is lost here, the start itself lost it.
      const host = hosted.start({ processors: [] });
      await until('the folder is taken', () => takerOf(hosted.folder) === host.pid, { limit_ms: 60_000 });
      await host.kill();
    }
    const last = hosted.start();
    await last.finished();
    const { batch } = await hosted.look();
    expect(countsOf(batch)).toEqual({ status: 'completed', completed_items: 12 });
  });
});

function takerOf(folder: string): number {
  return Number(JSON.parse(readFileSync(join(folder, 'guard.json'), 'utf8')).pid);
}

describe('an item that kills its host', () => {
  it('ends as poison after a few restarts, and takes nobody with it', async () => {
    const hosted = openHostedFolder();
    await hosted.make({
      ...WORK,
      items: numbered(24),
      config: { killers: [7], wait_ms: 30 },
      max_attempts: 2,
    });
    let starts = 0;
    for (; starts < 15; starts++) {
      const host = hosted.start();
      const end = await host.ended();
      if (end === 0) break;
      expect(end).toBe('SIGKILL');
    }
    expect(starts).toBeLessThan(15);
    const { batch, items } = await hosted.look();
    expect(countsOf(batch)).toEqual({ status: 'partially_completed', completed_items: 23, failed_items: 1 });
    expect(items[6]).toMatchObject({
      seq: 7,
      status: 'failed',
      error: { kind: 'permanent', code: 'poison' },
    });
    // Alone it was given as many attempts as the batch allows, no more.
    const killing = hosted.entries().filter(({ killer }) => killer === true);
    expect(killing.length).toBe(starts);
    expect(starts).toBeLessThanOrEqual(2 + 2);
  });

  it('among others like it does not keep the rest from completing', async () => {
    const hosted = openHostedFolder();
    const killers = [3, 4, 11];
    await hosted.make({ ...WORK, items: numbered(16), config: { killers, wait_ms: 20 } });
    let starts = 0;
    for (; starts < 25; starts++) {
      if ((await hosted.start().ended()) === 0) break;
    }
    expect(starts).toBeLessThan(25);
    const { batch, items } = await hosted.look();
    expect(countsOf(batch)).toEqual({ status: 'partially_completed', completed_items: 13, failed_items: 3 });
    const failed = items.filter(({ status }) => status === 'failed');
    expect(failed.map(({ seq, error }) => [seq, error?.code])).toEqual(killers.map((seq) => [seq, 'poison']));
  });
});

it('an item that kills its host does not hold up other batches for good, nor fails any of their items', async () => {
  const hosted = openHostedFolder();
  await hosted.make({ ...WORK, items: numbered(10), config: { killers: [5], wait_ms: 20 } });
  await hosted.make({ ...WORK, items: numbered(300), config: { wait_ms: 20 }, name: 'innocent' });
  let starts = 0;
  for (; starts < 15; starts++) {
    if ((await hosted.start().ended()) === 0) break;
  }
  expect(starts).toBeLessThan(15);
  const batches = await hosted.batches();
  expect(batches.map(countsOf)).toEqual([
    { status: 'completed', completed_items: 300 },
    { status: 'partially_completed', completed_items: 9, failed_items: 1 },
  ]);
});

describe('a batch of a processor that must not run twice', () => {
  const unsafe = { ...WORK, processor: 'unsafe', items: numbered(12), config: { wait_ms: 150 } };

  it('waits for review after a crash, and goes on when it is told to', async () => {
    const hosted = openHostedFolder();
    await hosted.make(unsafe);
    const first = hosted.start();
    await until('it works', () => hosted.entries().length > 1, { limit_ms: 60_000 });
    await first.kill();
    const second = hosted.start();
    const { recovery } = await second.said('ready');
    expect(recovery).toMatchObject({ leases: 1, recovered: [] });
    expect(recovery?.interrupted).toHaveLength(1);
    await second.kill();
    expect((await hosted.look()).batch).toMatchObject({ status: 'paused', pause_reason: 'interrupted' });
    const entered = hosted.entries().length;
    const third = hosted.start({ recover: true });
    expect(await third.said('recovered')).toMatchObject({ recovered_count: 1, failed_count: 0 });
    await third.finished();
    expect(hosted.entries().length).toBeGreaterThan(entered);
    expect(countsOf((await hosted.look()).batch)).toEqual({ status: 'completed', completed_items: 12 });
  });

  it('goes on by itself where that is the rule', async () => {
    const hosted = openHostedFolder();
    await hosted.make({ ...unsafe, recovery: 'resume' });
    const first = hosted.start();
    await until('it works', () => hosted.entries().length > 1, { limit_ms: 60_000 });
    await first.kill();
    const second = hosted.start({ engine: { recovery: 'review' } });
    expect((await second.said('ready')).recovery?.interrupted).toEqual([]);
    await second.finished();
  });

  it('that crashed while nothing of it ran goes on', async () => {
    const hosted = openHostedFolder();
    await hosted.make(unsafe);
    const host = hosted.start();
    expect((await host.said('ready')).recovery).toEqual({
      leases: 0,
      recovered: [],
      interrupted: [],
      poisoned: 0,
    });
    await host.finished();
  });
});

it('a batch of any processor waits for review where that is the rule', async () => {
  const hosted = openHostedFolder();
  await hosted.make({ ...WORK, items: numbered(20), config: { wait_ms: 100 } });
  const first = hosted.start();
  await until('it works', () => hosted.entries().length > 1, { limit_ms: 60_000 });
  await first.kill();
  const second = hosted.start({ engine: { recovery: 'review' } });
  expect((await second.said('ready')).recovery?.interrupted).toHaveLength(1);
  await second.kill();
  expect((await hosted.look()).batch).toMatchObject({ status: 'paused', pause_reason: 'interrupted' });
});

describe('child processes', () => {
  it.each(['calm', 'looping'])(
    'that are %s do not outlive their parent, and write nothing later',
    async (processor) => {
      const hosted = openHostedFolder();
      const path = join(hosted.folder, 'beats');
      const host = hosted.start({
        processors: [processor],
        make: { processor, config: { path }, items: numbered(2), concurrency: 2 },
      });
      const pids = () =>
        existsSync(path) ? [...new Set(readFileSync(path, 'utf8').trim().split('\n').map(Number))] : [];
      await until('both children write', () => pids().length === 2, { limit_ms: 60_000 });
      const children = pids();
      await host.kill();
      await until('both children are gone', () => !children.some(isAlive));
      expect(pids()).toEqual(children);
    },
  );
});
