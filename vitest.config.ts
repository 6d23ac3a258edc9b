import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

const KILL = 'packages/*/test/**/*.{kill,slow}.test.ts';
// The quick tests run commands without a process for each; here the same cases meet real ones.
const COMMANDS = 'packages/server/test/cli/*.test.ts';
/** What starts servers of others: databases, buckets. */
const SERVICES = 'packages/*/test/**/*{postgres,pgboss,s3}*.test.ts';
const BROWSER = 'packages/*/test/**/*.browser.test.ts';

// The processes of the tests, their threads and their children load the same hundreds of modules again and again.
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, 'node_modules', '.cache', 'compiled');

export default defineConfig({
  test: {
    pool: 'forks',
    // Many threads that strip types come and go here; see adapters/store-sql/threaded.ts.
    execArgv: ['--wasm-wrapper-tiering-budget=1000000000'],
    testTimeout: 20_000,
    hookTimeout: 20_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'quick',
          include: ['packages/*/src/**/*.test.ts', 'packages/*/test/**/*.test.ts'],
          exclude: ['**/node_modules/**', KILL, SERVICES, BROWSER],
          // Files share their processes: a process for each took half of the time.
          isolate: false,
          // By default one core is left to others, which is half of a machine with two.
          maxWorkers: Math.max(2, availableParallelism() - 1),
        },
      },
      {
        extends: true,
        test: {
          name: 'services',
          include: [SERVICES],
          exclude: ['**/node_modules/**', KILL],
          fileParallelism: false,
        },
      },
      {
        extends: true,
        // Real processes, real signals and real waiting: one file at a time, so that none starves another.
        test: {
          name: 'kill',
          include: [KILL, COMMANDS],
          env: { TEST_EACH_IN_ITS_PROCESS: '1' },
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: { name: 'browser', include: [BROWSER], fileParallelism: false, testTimeout: 60_000 },
      },
    ],
  },
});
