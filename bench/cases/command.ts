import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Processor } from '../../packages/engine/src/index.ts';
import { defineCommand } from '../../packages/engine/src/processors/command/command.ts';
import { type Bench, shareLine } from '../bench.ts';
import { fill, openEngine, secondsToComplete } from '../work.ts';

const PARALLEL = 2;
const PROGRAM = '/bin/true';

/** Items before the clock starts. */
const WARM_UP = 100;

const program = defineCommand({
  name: 'bench.command',
  argv: [PROGRAM],
}) as unknown as Processor; // the engine knows no input types

/** A program per item, with its end, its words and its exit code on record, beside xargs, which keeps none. */
export const commandBench: Bench = {
  name: 'command',
  about: `${PROGRAM} once an item, ${PARALLEL} at a time`,
  size: { full: 3_000, quick: 400 },
  rounds: { full: 3, quick: 3 },
  sides: {
    async raw({ size, folder }) {
      const list = join(folder, 'list');
      writeFileSync(list, Array.from({ length: size }, (_, index) => `${index}\n`).join(''));
      const from = performance.now();
      execFileSync('xargs', ['-a', list, `-P${PARALLEL}`, '-n1', PROGRAM]);
      return { rate: size / ((performance.now() - from) / 1000) };
    },
    async ours({ size, folder }) {
      const engine = await openEngine(folder, [program], PARALLEL);
      await secondsToComplete(engine, await fill(engine, program.name, WARM_UP, PARALLEL));
      const seconds = await secondsToComplete(engine, await fill(engine, program.name, size, PARALLEL));
      await engine.close();
      return { rate: size / seconds };
    },
  },
  judge: (median) => [
    shareLine({
      label: 'command',
      ours: median('ours', 'rate'),
      other: { name: `xargs -P${PARALLEL}`, rate: median('raw', 'rate') },
      floor_percent: 90,
    }),
  ],
};
