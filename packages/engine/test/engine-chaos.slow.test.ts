import type { Batch } from '@sheaf/protocol';
import { describe, expect, it, vi } from 'vitest';
import { createSeededChance } from '../src/testing/chance.ts';
import { until } from '../src/testing/until.ts';
import { createLedger, takes } from './engine/ledger.ts';
import { numbered, openWorld, type World } from './engine/world.ts';

// Hundreds of commits and some restarts, on whatever disk and beside whatever else runs.
vi.setConfig({ testTimeout: 60_000 });

const SEEDS = [Number(process.env.CHAOS_SEED ?? 1), 2, 3];

/** Presses that any user may make at any time, and the answers that are no fault. */
const REFUSALS = new Set(['wrong_status', 'not_found']);

describe('any order of presses, restarts and failures', () => {
  it.each(SEEDS)('leaves batches that add up and come to an end (seed %i)', async (seed) => {
    const chance = createSeededChance(seed);
    const below = (count: number) => Math.floor(chance.random() * count);
    const ledger = createLedger({
      async run(item, context) {
        if (below(4) === 0) await takes(below(30))(item, context);
        if (below(6) === 0) throw new Error(`item ${item.seq} had bad luck`);
        return { seq: item.seq };
      },
    });
    const world = await openWorld({ concurrency: 8, processors: [ledger.processor] });
    const batches: Batch[] = [];
    for (let count = 0; count < 4; count++) batches.push(await makeOne(world, below));

    for (let step = 0; step < 120; step++) {
      const batch = batches[below(batches.length)];
      if (batch === undefined) throw new Error('There are batches.');
      await press(world, batch, below).catch((error: { code?: string }) => {
        if (!REFUSALS.has(error.code ?? '')) throw error;
      });
      if (below(30) === 0) await world.reopen({ close_drain_ms: below(3) * 50 });
      if (below(5) === 0) await until('a moment has passed', () => below(3) === 0);
      if (step % 10 === 0) expect(await world.engine.checkInvariants()).toEqual([]);
      const { total_items: total, ...counts } = await world.get(batch);
      const parts =
        counts.pending_items + counts.running_items + counts.completed_items + counts.failed_items;
      expect(parts + counts.cancelled_items + counts.skipped_items).toBe(total);
      expect(counts.pending_items).toBeGreaterThanOrEqual(0);
    }

    for (const batch of batches) {
      await world.engine.seal({ batch_id: batch.id });
      const { status } = await world.get(batch);
      if (status === 'draft') await world.engine.start({ batch_id: batch.id });
      if (status === 'paused') await world.engine.resume({ batch_id: batch.id });
    }
    for (const batch of batches) {
      const ended = await world.end(batch, 30_000);
      expect(ended.pending_items + ended.running_items).toBe(0);
    }
    expect(ledger.atWork).toBe(0);
  });
});

function makeOne(world: World, below: (count: number) => number): Promise<Batch> {
  return world.make({
    processor: 'ledger',
    items: numbered(50 + below(400)),
    concurrency: 1 + below(10),
    priority: below(10),
    max_attempts: 1 + below(3),
    backoff: { base_ms: below(2) * 20, max_ms: 50 },
    open: below(4) === 0,
  });
}

function press(world: World, { id }: Batch, below: (count: number) => number): Promise<unknown> {
  const { engine } = world;
  const target = { batch_id: id };
  switch (below(12)) {
    case 0:
    case 1:
      return engine.pause(target);
    case 2:
      return engine.pause({ ...target, mode: 'now' });
    case 3:
    case 4:
    case 5:
      return engine.resume(target);
    case 6:
      return engine.retry(target);
    case 7:
      return engine.append(target, numbered(1 + below(30)));
    case 8:
      return engine.update({ ...target, fields: { concurrency: 1 + below(10), priority: below(10) } });
    case 9:
      return engine.removeItem({ ...target, seq: 1 + below(400) });
    case 10:
      return below(6) === 0 ? engine.cancel(target) : engine.resume(target);
    default:
      return engine.retry({ ...target, items: [1 + below(200)] });
  }
}
