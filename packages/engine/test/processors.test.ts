import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { errorCode } from '@sheaf/protocol';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createInlineRunner } from '../src/adapters/runner-inline/inline-runner.ts';
import { createProcessRunner } from '../src/adapters/runner-process/process-runner.ts';
import { defineCommand } from '../src/processors/command/command.ts';
import { loadModule } from '../src/processors/module/load-module.ts';
import { probe } from '../src/processors/probe/probe.ts';
import { processorContract } from '../src/testing/contracts/processor.contract.ts';
import { errorOf, makeTask, resultOf, runTask } from '../src/testing/contracts/runner/scene.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sheaf-module-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

processorContract(probe, [{}, { title: 'an item that waits', config: { wait_ms: 5 } }]);
processorContract(defineCommand({ name: 'echo', argv: ['echo', '{name}'] }), [{}]);

describe('probe', () => {
  test('ends before run returns when there is nothing to wait for', () => {
    const task = makeTask(probe, { config: { wait_ms: 0, fail_rate: 0 } });
    expect(probe.run(task.item, contextOf(task.config))).not.toBeInstanceOf(Promise);
  });

  test('fails the asked share, the same items each time', async () => {
    const runner = createInlineRunner();
    const failing = async () => {
      const failed: number[] = [];
      for (let seq = 1; seq <= 2_000; seq++) {
        const task = makeTask(probe, { config: { wait_ms: 0, fail_rate: 0.25 } });
        const result = await runTask(runner, { ...task, item: { ...task.item, seq } });
        if (!result.ok) failed.push(seq);
      }
      return failed;
    };
    const first = await failing();
    expect(first.length).toBeGreaterThan(400);
    expect(first.length).toBeLessThan(600);
    expect(await failing()).toEqual(first);
    await runner.close();
  });

  test('fails all and none at the ends of the range', async () => {
    const runner = createInlineRunner();
    const all = await runTask(runner, makeTask(probe, { config: { wait_ms: 0, fail_rate: 1 } }));
    expect(errorOf(all)).toMatchObject({ kind: 'retryable', code: 'probe_failed' });
    const none = await runTask(runner, makeTask(probe, { config: { wait_ms: 0, fail_rate: 0 } }));
    expect(none.ok).toBe(true);
    await runner.close();
  });
});

describe('module', () => {
  const Define = pathToFileURL(join(import.meta.dirname, '../src/define-processor.ts')).href;

  async function module(name: string, source: string): Promise<string> {
    const file = join(folder, name);
    await writeFile(file, source);
    return file;
  }

  test('takes plain objects and made processors, and runs them in children', async () => {
    const file = await module(
      'two.ts',
      `import { defineProcessor } from '${Define}';
       export const shout = { name: 'shout', run: (item: { name: string }): string => item.name.toUpperCase() };
       export const made = defineProcessor({ name: 'made', module: import.meta.url, run: () => 'made' });
       export default shout;
       export const setting = 5;`,
    );
    const processors = await loadModule(file);
    expect(
      processors
        .map(({ name, isolation, module }) => ({ name, isolation, module }))
        .sort((a, b) => a.name.localeCompare(b.name)),
    ).toEqual([
      { name: 'made', isolation: 'process', module: pathToFileURL(file).href },
      { name: 'shout', isolation: 'process', module: pathToFileURL(file).href },
    ]);
    const runner = createProcessRunner({ max_children: 1 });
    const results = [];
    for (const processor of processors) results.push(resultOf(await runTask(runner, makeTask(processor))));
    expect(results.sort()).toEqual(['PHOTO.JPG', 'made']);
    await runner.close();
  });

  test('fills in the module where it is missing, and keeps what else was said', async () => {
    const file = await module(
      'inline.ts',
      `import { defineProcessor } from '${Define}';
       export const light = defineProcessor({ name: 'light', run: () => 1 });`,
    );
    const url = pathToFileURL(file);
    expect(await loadModule(url)).toMatchObject([{ name: 'light', isolation: 'inline', module: url.href }]);
  });

  test.each([
    ['missing.ts', null, /does not exist/],
    ['empty.ts', 'export const setting = 1;', /exports no processor/],
    ['syntax.ts', 'export const x = ;', /cannot be imported/],
    ['throws.ts', `throw new Error('at import');`, /at import/],
    ['package.ts', `import 'no-such-package'; export const x = 1;`, /packages must be installed/],
    ['name.ts', `export const x = { name: 'Not A Name', run() {} };`, /lower case/],
  ])('refuses %s, naming the file and the remedy', async (name, source, words) => {
    const file = source === null ? join(folder, name) : await module(name, source);
    const problem = await loadModule(file).catch((error: unknown) => error);
    expect(errorCode(problem)).toBe('bad_config');
    expect(String(problem)).toContain(name);
    expect(String(problem)).toMatch(words);
  });

  // Vitest compiles what it imports, so only a Node of its own meets what Node cannot read.
  test('says which TypeScript needs a build step', async () => {
    const file = await module('enum.ts', 'export enum Colour { red }');
    const loader = pathToFileURL(join(import.meta.dirname, '../src/processors/module/load-module.ts')).href;
    const script = `import { loadModule } from '${loader}'; await loadModule(process.argv[1]).catch((error) => console.log(error.message));`;
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--input-type=module',
      '-e',
      script,
      file,
    ]);
    expect(stdout).toMatch(/enum\.ts cannot be imported.*build step/);
  });
});

function contextOf(config: unknown) {
  const nothing = () => undefined;
  return {
    config: config as never,
    signal: new AbortController().signal,
    progress: nothing,
    log: nothing,
    metric: nothing,
    output: String,
  };
}
