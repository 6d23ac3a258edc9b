import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Batch, CreateBatch, NewItem } from '@sheaf/protocol';
import { afterAll, afterEach, beforeAll, expect, onTestFinished } from 'vitest';
import type { Engine } from '../../src/api.ts';
import { createEngine } from '../../src/engine.ts';
import type { EngineOptions } from '../../src/options.ts';

type WorldOptions = Partial<EngineOptions>;

/** An engine on a folder of its own. */
export type World = {
  readonly folder: string;
  /** The engine at work; another one after each `reopen`. */
  readonly engine: Engine;
  /** Problems that no call was there to answer for. A test that expects some empties the list. */
  readonly errors: unknown[];
  /** Makes a batch, of `probe` when no processor is named, and answers it. */
  make(batch: CreateBatch): Promise<Batch>;
  /** Waits for the end of a batch and answers it as it is then. */
  end(batch: { id: string }, timeoutMs?: number): Promise<Batch>;
  get(batch: { id: string }): Promise<Batch>;
  /** Stops the engine and starts another one on the same folder. */
  reopen(options?: WorldOptions & { close_drain_ms?: number }): Promise<Engine>;
};

/** Opens a world for one test. When the test is over, its numbers must add up and no problem may be left. */
export async function openWorld(options: WorldOptions = {}): Promise<World> {
  const world = createWorld(options);
  await world.open();
  onTestFinished(() => world.leave());
  return world;
}

/** One world for all tests of a file, for those that need no engine of their own: an engine takes a while to start. */
export function shareWorld(options: WorldOptions = {}): World {
  const world = createWorld(options);
  beforeAll(() => world.open());
  afterEach(async () => {
    await world.clear();
    await world.check();
  });
  afterAll(() => world.leave());
  return world;
}

type Keeping = {
  open(): Promise<void>;
  /** Ends what a failed test left at work: the next one would wait for its slots. */
  clear(): Promise<void>;
  check(): Promise<void>;
  leave(): Promise<void>;
};

function createWorld(options: WorldOptions) {
  const folder = mkdtempSync(join(tmpdir(), 'sheaf-engine-'));
  const errors: unknown[] = [];
  let given: EngineOptions = {
    data_dir: folder,
    concurrency: 4,
    onError: (error) => errors.push(error),
    ...options,
  };
  let opened: Engine | null = null;
  const engine = (): Engine => {
    if (opened === null) throw new Error('The world is not open yet.');
    return opened;
  };
  const world: World & Keeping = {
    folder,
    errors,
    get engine() {
      return engine();
    },
    make: async (batch) => (await engine().create({ processor: 'probe', ...batch })).batch,
    end: ({ id }, timeoutMs = 15_000) =>
      engine().wait({ batch_id: id, until: 'final', timeout_ms: timeoutMs }),
    get: ({ id }) => engine().get({ batch_id: id }),
    async reopen({ close_drain_ms = 0, ...changes } = {}) {
      await engine().close({ drain_ms: close_drain_ms });
      given = { ...given, ...changes };
      opened = await createEngine(given);
      return opened;
    },
    async open() {
      opened = await createEngine(given);
    },
    async clear() {
      const { data } = await engine().list({ status: ['queued', 'running'], limit: 1_000, offset: 0 });
      for (const { id } of data) await engine().cancel({ batch_id: id });
    },
    async check() {
      expect(await engine().checkInvariants()).toEqual([]);
      expect(errors.splice(0)).toEqual([]);
    },
    async leave() {
      try {
        await world.check();
      } finally {
        await engine().close({ drain_ms: 0 });
        rmSync(folder, { recursive: true, force: true });
      }
    },
  };
  return world;
}

/** Items whose input tells them apart: `{"n":1}`, `{"n":2}` … */
export function numbered(count: number): NewItem[] {
  return Array.from({ length: count }, (_, index) => ({ input: { n: index + 1 } }));
}

/** The counters of a batch that are not zero, and its status, for one comparison. */
export function countsOf(batch: Batch): Record<string, number | string> {
  const { status, completed_items, failed_items, cancelled_items, pending_items, running_items } = batch;
  const counts = { completed_items, failed_items, cancelled_items, pending_items, running_items };
  return { status, ...Object.fromEntries(Object.entries(counts).filter(([, count]) => count !== 0)) };
}
