import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Processor } from '../src/ports/processor.ts';
import { until } from '../src/testing/until.ts';
import { writing } from './engine/children.ts';
import { numbered, shareWorld } from './engine/world.ts';

const world = shareWorld({ concurrency: 3, processors: [writing as unknown as Processor] });

describe('items in child processes', () => {
  it('hand back what they wrote and said, of the attempt that completed', async () => {
    const batch = await world.make({
      processor: 'writing',
      config: { path: join(world.folder, 'signed') },
      items: numbered(1),
      backoff: { base_ms: 0, max_ms: 0 },
    });
    const ended = await world.end(batch);
    expect(ended.metrics).toMatchObject({ letters: { sum: 5, count: 1 } });
    const item = await world.engine.item({ batch_id: batch.id, seq: 1 });
    expect(item.outputs.map(({ name, bytes }) => [name, bytes])).toEqual([
      ['half.txt', 4],
      ['letters.txt', 7],
    ]);
    const { data } = await world.engine.logs({ batch_id: batch.id });
    expect(data.map(({ attempt, text }) => [attempt, text])).toEqual([
      [1, 'item 1\nsaid to the console'],
      [2, 'item 1\nsaid to the console'],
    ]);
    await until(
      'no folder of an attempt is left',
      () => readdirSync(join(world.folder, 'work')).length === 0,
    );
  });
});
