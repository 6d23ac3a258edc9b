import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { expect } from 'vitest';
import type { Behaviour } from './behaviours.ts';
import type { RunnerTest } from './runner-test.ts';
import { errorOf, hasFolder, runTask } from './scene.ts';

const BAD_OUTPUTS: Behaviour[] = ['output_link', 'output_folder', 'output_fifo', 'output_sparse'];
const BAD_NAMES = ['../x', '..', '.', '', '/etc/x', 'a/b', 'a\\b', 'a\0b', 'x'.repeat(256), 'line\nend'];

export function outputCases(test: RunnerTest): void {
  test('names each output once, and leaves its folder to the caller', async (runner, behave) => {
    const task = behave('output');
    const result = await runTask(runner, task);
    if (!result.ok) throw new Error(result.error.message);
    expect(result.outputs.map(({ name }) => name)).toEqual(['a.txt', 'ファイル -rf $(id).txt']);
    expect(result.outputs.map(({ path }) => readFileSync(path, 'utf8'))).toEqual(['three', 'two']);
    expect(result.outputs.every(({ path }) => path.startsWith(task.work_dir))).toBe(true);
    await rm(task.work_dir, { recursive: true });
  });

  test('makes no folder for an item without outputs', async (runner, behave) => {
    const task = behave('echo');
    await runTask(runner, task);
    expect(hasFolder(task)).toBe(false);
  });

  test('takes a name that was asked for and not written as no output', async (runner, behave) => {
    const task = behave('output_unwritten');
    expect(await runTask(runner, task)).toMatchObject({ ok: true, outputs: [] });
    expect(hasFolder(task)).toBe(false);
  });

  test('leaves nothing of an attempt that fails', async (runner, behave) => {
    const task = behave('output_then_fail');
    expect(errorOf(await runTask(runner, task)).message).toBe('after the output');
    expect(hasFolder(task)).toBe(false);
  });

  for (const behaviour of BAD_OUTPUTS) {
    test(`refuses what is no regular file, or too large: ${behaviour}`, async (runner, behave) => {
      const task = behave(behaviour);
      expect(errorOf(await runTask(runner, task)).code).toBe('bad_result');
      expect(hasFolder(task)).toBe(false);
    });
  }

  for (const name of BAD_NAMES) {
    test(`refuses the output name ${JSON.stringify(name).slice(0, 20)}`, async (runner, behave) => {
      const task = behave('output_name', { with: { name } });
      expect(errorOf(await runTask(runner, task))).toMatchObject({
        kind: 'permanent',
        code: 'bad_output_name',
      });
      expect(hasFolder(task)).toBe(false);
    });
  }
}
