import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { defineProcessor } from '../src/define-processor.ts';
import type { Processor } from '../src/ports/processor.ts';
import { until } from '../src/testing/until.ts';
import { deaf } from './engine/children.ts';
import { createLedger, takes, waits } from './engine/ledger.ts';
import { countsOf, numbered, openWorld } from './engine/world.ts';

// Thousands of commits and many starts, on whatever disk and beside whatever else runs.
vi.setConfig({ testTimeout: 60_000 });

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
