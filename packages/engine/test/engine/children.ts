import { appendFileSync, writeFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { z } from 'zod';
import { defineProcessor } from '../../src/define-processor.ts';

/** Says in a file that an item has begun, and in which process. */
function sign(path: string, seq: number): void {
  appendFileSync(path, `${seq} ${process.pid}\n`);
}

const config = z.strictObject({ path: z.string(), hanging: z.array(z.int()).default([]) });

/** Never gives its thread back, for the items named; the others end at once. */
export const hanging = defineProcessor({
  name: 'hanging',
  module: import.meta.url,
  config,
  run({ seq }, { config: { path, hanging: named } }) {
    sign(path, seq);
    while (named.includes(seq)) {
      // Nothing that could be interrupted.
    }
    return { seq };
  },
});

/** Takes its time, and does not care for its signal. */
export const deaf = defineProcessor({
  name: 'deaf',
  module: import.meta.url,
  config,
  async run({ seq }, { config: { path } }) {
    sign(path, seq);
    await wait(60_000);
  },
});

/** Ends its process for the items named. */
export const dying = defineProcessor({
  name: 'dying',
  module: import.meta.url,
  config,
  run({ seq }, { config: { path, hanging: named } }) {
    sign(path, seq);
    if (named.includes(seq)) process.kill(process.pid, 'SIGKILL');
    return { seq };
  },
});

/** Writes an output and says something on every way there is. */
export const writing = defineProcessor({
  name: 'writing',
  module: import.meta.url,
  config,
  async run({ seq, attempt }, { config: { path }, log, metric, output, progress }) {
    sign(path, seq);
    progress('writing', 10);
    log(`item ${seq}`);
    console.log('said to the console');
    metric('letters', 5);
    writeFileSync(output('half.txt'), 'half');
    if (attempt === 1) throw new Error('not at first');
    writeFileSync(output('letters.txt'), `hello ${seq}`);
    return { seq };
  },
});
