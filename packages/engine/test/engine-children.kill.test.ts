import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Processor } from '../src/ports/processor.ts';
import { until } from '../src/testing/until.ts';
import { deaf, dying, hanging } from './engine/children.ts';
import { countsOf, numbered, shareWorld } from './engine/world.ts';

const QUICK = { base_ms: 0, max_ms: 0 };

const world = shareWorld({
  concurrency: 3,
  processors: [hanging, deaf, dying] as unknown as Processor[],
});
let files = 0;

/** A file of its own for a test's children to sign. */
function signatures() {
  files += 1;
  const path = join(world.folder, `signed-${files}`);
  const read = () =>
    existsSync(path)
      ? readFileSync(path, 'utf8')
          .trim()
          .split('\n')
          .map((line) => line.split(' ').map(Number))
      : [];
  return {
    path,
    seqs: () => read().map(([seq = 0]) => seq),
    pids: () => read().map(([, pid = 0]) => pid),
  };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('items in child processes', () => {
  it('that hang in an endless loop are ended by cancel, and their slots are free', async () => {
    const signed = signatures();
    const batch = await world.make({
      processor: 'hanging',
      config: { path: signed.path, hanging: [1, 2, 3] },
      items: numbered(5),
      concurrency: 3,
    });
    await until('all three hang', () => signed.seqs().length === 3);
    const answer = await world.engine.cancel({ batch_id: batch.id });
    expect(countsOf(answer)).toEqual({ status: 'cancelled', cancelled_items: 5 });
    await until('their processes are gone', () => !signed.pids().some(isAlive));
    const next = await world.make({ items: numbered(6), config: { wait_ms: 20 }, concurrency: 3 });
    expect((await world.end(next)).status).toBe('completed');
    expect(signed.seqs()).toHaveLength(3);
  });

  it('that hang are ended by their timeout, and their neighbours complete', async () => {
    const signed = signatures();
    const batch = await world.make({
      processor: 'hanging',
      config: { path: signed.path, hanging: [2] },
      items: numbered(6),
      item_timeout_ms: 300,
      max_attempts: 1,
    });
    expect(countsOf(await world.end(batch))).toEqual({
      status: 'partially_completed',
      completed_items: 5,
      failed_items: 1,
    });
    expect((await world.engine.item({ batch_id: batch.id, seq: 2 })).error).toMatchObject({
      kind: 'timeout',
    });
  });

  it('that do not listen are given back by a pause now, unburned', async () => {
    const signed = signatures();
    const batch = await world.make({
      processor: 'deaf',
      config: { path: signed.path },
      items: numbered(4),
      concurrency: 3,
      max_attempts: 1,
    });
    await until('three run', () => signed.seqs().length === 3);
    await world.engine.pause({ batch_id: batch.id, mode: 'now' });
    expect(countsOf(await world.get(batch))).toEqual({ status: 'paused', pending_items: 4 });
    await until('their processes are gone', () => !signed.pids().some(isAlive));
    const { data } = await world.engine.items({ batch_id: batch.id, after: 0, limit: 4 });
    expect(data.every(({ attempt, status }) => attempt === 0 && status === 'pending')).toBe(true);
    await world.engine.cancel({ batch_id: batch.id });
  });

  it('that kill their process fail alone, with a reason, after all their attempts', async () => {
    const signed = signatures();
    const batch = await world.make({
      processor: 'dying',
      config: { path: signed.path, hanging: [3] },
      items: numbered(8),
      max_attempts: 3,
      backoff: QUICK,
    });
    expect(countsOf(await world.end(batch))).toEqual({
      status: 'partially_completed',
      completed_items: 7,
      failed_items: 1,
    });
    const item = await world.engine.item({ batch_id: batch.id, seq: 3 });
    expect(item).toMatchObject({
      attempt: 3,
      error: { code: 'crashed', message: expect.stringContaining('SIGKILL') },
    });
    expect(signed.seqs().filter((seq) => seq === 3)).toHaveLength(3);
    for (const seq of [1, 2, 4, 5, 6, 7, 8]) {
      expect(signed.seqs().filter((other) => other === seq)).toHaveLength(1);
    }
  });
});
