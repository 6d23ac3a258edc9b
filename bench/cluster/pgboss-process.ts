/** A worker of pg-boss, with the loop its documentation gives for throughput: fetch many, complete many. */
import { PgBoss } from 'pg-boss';
import { doNothing, IN_FLIGHT, type Input, inputOf } from '../nothing.ts';
import type { Program } from './program.ts';
import { moment, serve } from './remote.ts';

const QUEUE = 'noop';

/** Jobs one call inserts, and one fetch takes. */
const FETCH = 5_000;

/** What is kept of each job: one call that completes many keeps the same of all. */
const OUTPUT = { n: 1 };

let boss: PgBoss | null = null;

const program: Program = {
  async open({ url }) {
    // It only fetches: the supervision beside it would only cost.
    boss = new PgBoss({ connectionString: url, supervise: false, schedule: false });
    boss.on('error', (error) => console.error(error));
    await boss.start();
    await boss.createQueue(QUEUE);
  },
  async fill({ size }) {
    const from = moment();
    for (let first = 1; first <= size; first += FETCH) {
      await opened().insert(
        QUEUE,
        Array.from({ length: Math.min(FETCH, size + 1 - first) }, (_, index) => ({
          data: inputOf(first + index),
        })),
      );
    }
    return { from, to: moment() };
  },
  async drain() {
    const from = moment();
    let done = 0;
    for (;;) {
      const jobs = await opened().fetch<Input>(QUEUE, { batchSize: FETCH });
      if (jobs.length === 0) return { from, to: moment(), done };
      await runAll(jobs.map(({ data }) => data));
      await opened().complete(
        QUEUE,
        jobs.map(({ id }) => id),
        OUTPUT,
      );
      done += jobs.length;
    }
  },
};

serve(program);

async function runAll(inputs: readonly Input[]): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: IN_FLIGHT }, async () => {
      for (let input = inputs[next++]; input !== undefined; input = inputs[next++]) await doNothing(input);
    }),
  );
}

function opened(): PgBoss {
  if (boss === null) throw new Error('Open comes first.');
  return boss;
}
