import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import type { Processor } from '../../packages/engine/src/index.ts';
import { type Bench, shareLine } from '../bench.ts';
import { inputOf } from '../nothing.ts';
import { echo } from '../processors.ts';
import { fill, openEngine, secondsToComplete } from '../work.ts';

const CHILDREN = 2;

/** Items before the clock starts: the children are up, and their code is warm. */
const WARM_UP = 500;

/** What a kill-proof child process around every item costs, beside children that only echo. */
export const processesBench: Bench = {
  name: 'processes',
  about: `items in ${CHILDREN} child processes, results recorded, beside a bare pool of forks`,
  size: { full: 20_000, quick: 5_000 },
  rounds: { full: 3, quick: 1 },
  sides: {
    async raw({ size }) {
      const children = Array.from({ length: CHILDREN }, () =>
        fork(join(import.meta.dirname, '..', 'echo-child.ts'), { serialization: 'advanced' }),
      );
      await echoAll(children, WARM_UP);
      const from = performance.now();
      const results = await echoAll(children, size);
      const seconds = (performance.now() - from) / 1000;
      for (const child of children) child.kill();
      if (results.length !== size) throw new Error(`${results.length} of ${size} were echoed.`);
      return { rate: size / seconds };
    },
    async ours({ size, folder }) {
      // The engine knows no input types.
      const engine = await openEngine(folder, [echo as unknown as Processor], CHILDREN);
      await secondsToComplete(engine, await fill(engine, echo.name, WARM_UP, CHILDREN));
      const seconds = await secondsToComplete(engine, await fill(engine, echo.name, size, CHILDREN));
      await engine.close();
      return { rate: size / seconds };
    },
  },
  judge: (median) => [
    shareLine({
      label: 'processes',
      ours: median('ours', 'rate'),
      other: { name: 'fork pool', rate: median('raw', 'rate') },
      floor_percent: 50,
    }),
  ],
};

/** Each child has one item at a time, and gets the next as soon as it answers. */
async function echoAll(children: readonly ChildProcess[], size: number): Promise<string[]> {
  const results: string[] = [];
  let next = 1;
  await Promise.all(
    children.map(async (child) => {
      while (next <= size) results.push(await echoOne(child, next++));
    }),
  );
  return results;
}

function echoOne(child: ChildProcess, id: number): Promise<string> {
  return new Promise((resolve) => {
    // Sent by the child, which sends nothing else.
    child.once('message', (message) => resolve((message as { result: string }).result));
    child.send({ id, input: JSON.stringify(inputOf(id)) });
  });
}
