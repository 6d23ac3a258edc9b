/** A worker of graphile-worker, set up for throughput as its documentation says. */
import { EventEmitter } from 'node:events';
import { Logger, makeWorkerUtils, run, type WorkerEvents } from 'graphile-worker';
import { doNothing, IN_FLIGHT, type Input, inputOf } from '../nothing.ts';
import type { Program } from './program.ts';
import { moment, type Span, serve } from './remote.ts';

/** Jobs one call adds: more gains nothing. */
const ADD_JOBS = 5_000;

/** Jobs one fetch takes. */
const LOCAL_QUEUE = 500;

/** Milliseconds in which completions are gathered for one statement: the best of 0, 20 and 250. */
const BATCH_DELAY_MS = 20;

process.env.NO_LOG_SUCCESS = '1';
const silent = new Logger(() => () => {});
let connectionString = '';

const program: Program = {
  async open({ url }) {
    connectionString = url;
    const utils = await makeWorkerUtils({ connectionString, logger: silent });
    await utils.migrate();
    await utils.release();
  },
  async fill({ size }) {
    const utils = await makeWorkerUtils({ connectionString, logger: silent });
    const from = moment();
    for (let first = 1; first <= size; first += ADD_JOBS) {
      await utils.addJobs(
        Array.from({ length: Math.min(ADD_JOBS, size + 1 - first) }, (_, index) => ({
          identifier: 'noop',
          payload: inputOf(first + index),
          maxAttempts: 1,
        })),
      );
    }
    const to = moment();
    await utils.release();
    return { from, to };
  },
  drain,
};

serve(program);

/** Works until a fetch brings nothing, and until what it finished is written. */
async function drain(): Promise<Span & { done: number }> {
  let from = Number.NaN;
  let done = 0;
  const events: WorkerEvents = new EventEmitter();
  const nothingLeft = new Promise<void>((resolve) => {
    events.on('localQueue:getJobs:complete', ({ jobs }) => {
      if (jobs.length === 0) resolve();
    });
  });
  const runner = await run({
    noHandleSignals: true,
    events,
    taskList: {
      async noop(payload) {
        if (done === 0) from = moment();
        await doNothing(payload as Input); // the jobs are our own
        done += 1;
      },
    },
    preset: {
      worker: {
        connectionString,
        logger: silent,
        concurrentJobs: IN_FLIGHT,
        localQueue: { size: LOCAL_QUEUE },
        completeJobBatchDelay: BATCH_DELAY_MS,
        failJobBatchDelay: BATCH_DELAY_MS,
      },
    },
  });
  await nothingLeft;
  await runner.stop();
  return { from, to: moment(), done };
}
