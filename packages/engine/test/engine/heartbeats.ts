import { appendFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { z } from 'zod';
import { defineProcessor } from '../../src/define-processor.ts';

const config = z.strictObject({ path: z.string() });

/** Writes its process id again and again, and gives its thread back in between. */
export const calm = defineProcessor({
  name: 'calm',
  module: import.meta.url,
  config,
  async run(_, { config: { path } }) {
    for (;;) {
      appendFileSync(path, `${process.pid}\n`);
      await wait(20);
    }
  },
});

/** The same, without ever giving its thread back. */
export const looping = defineProcessor({
  name: 'looping',
  module: import.meta.url,
  config,
  run(_, { config: { path } }) {
    for (;;) {
      appendFileSync(path, `${process.pid}\n`);
      for (const until = performance.now() + 20; performance.now() < until; );
    }
  },
});
