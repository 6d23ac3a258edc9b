import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { until } from '../src/testing/until.ts';
import { createLedger, waits } from './engine/ledger.ts';
import { countsOf, numbered, shareWorld } from './engine/world.ts';

const HOUR_MS = 3_600_000;

const forward = createLedger({ name: 'forward', run: waits });
const back = createLedger({ name: 'back', run: waits });
const blocking = createLedger({
  name: 'blocking',
  // Never gives its thread back, for longer than a lease lives.
  run() {
    for (const end = performance.now() + 6_500; performance.now() < end; );
  },
});
const unsafe = createLedger({ name: 'unsafe', idempotent: false, run: waits });
const world = shareWorld({ processors: [forward, back, blocking, unsafe].map((ledger) => ledger.processor) });

afterEach(() => {
  vi.restoreAllMocks();
});

/** Only the clock on the wall jumps; timers go on as they were. */
function jump(ms: number): void {
  const from = performance.now();
  const at = Date.now() + ms;
  vi.spyOn(Date, 'now').mockImplementation(() => at + Math.round(performance.now() - from));
}

async function pass(ms: number): Promise<void> {
  const from = performance.now();
  await until('time has passed', () => performance.now() - from > ms);
}

describe('a clock that jumps', () => {
  it.each([
    ['forward', HOUR_MS],
    ['back', -HOUR_MS],
  ])('%s takes no lease away and runs nothing twice', async (processor, ms) => {
    const ledger = processor === 'back' ? back : forward;
    const batch = await world.make({ processor, items: numbered(6), concurrency: 3 });
    await until('three run', () => ledger.atWork === 3);
    // Often, so that it comes right before a sweep as well as right after.
    for (let jumps = 1; jumps <= 12; jumps++) {
      jump(ms);
      await pass(230);
    }
    expect(ledger.starts).toHaveLength(3);
    ledger.open();
    const ended = await world.end(batch);
    expect(countsOf(ended)).toEqual({ status: 'completed', completed_items: 6 });
    expect(ledger.starts).toHaveLength(6);
    expect(ended.ran_ms).toBeGreaterThanOrEqual(0);
  });
});

it('results wait for a database that somebody else has locked, and no item runs twice', async () => {
  const batch = await world.make({ processor: 'unsafe', items: numbered(6), concurrency: 3 });
  await until('three run', () => unsafe.atWork === 3);
  const other = new DatabaseSync(join(world.folder, 'sheaf.db'));
  onTestFinished(() => other.close());
  other.exec('begin immediate');
  unsafe.release(3);
  await until('their results are refused', () => world.errors.length > 0);
  other.exec('commit');
  unsafe.open();
  expect(countsOf(await world.end(batch))).toEqual({ status: 'completed', completed_items: 6 });
  expect(unsafe.starts).toHaveLength(6);
  for (const error of world.errors.splice(0)) expect(error).toMatchObject({ code: 'store_unavailable' });
});

it('an item that blocks its thread for longer than a lease lives is done once', async () => {
  const batch = await world.make({ processor: 'blocking', items: numbered(1), max_attempts: 1 });
  expect(countsOf(await world.end(batch))).toEqual({ status: 'completed', completed_items: 1 });
  expect(blocking.starts).toHaveLength(1);
});
