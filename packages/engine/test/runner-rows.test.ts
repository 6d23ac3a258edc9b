import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { createProcessRunner } from '../src/adapters/runner-process/process-runner.ts';
import type { RunResult, RunTask } from '../src/ports/runner.ts';
import { behave } from '../src/testing/contracts/runner/runner-test.ts';
import { errorOf, makeTask, resultOf } from '../src/testing/contracts/runner/scene.ts';
import { type Deed, dangerous } from './fixtures/dangerous.ts';

const folder = mkdtempSync(join(tmpdir(), 'sheaf-rows-'));
// However slow the machine is, no item counts as slow here unless a test means it.
const runner = createProcessRunner({ max_children: 1, grace_ms: 200, recall_ms: 60_000 });
const recalling = createProcessRunner({ max_children: 1 });
afterAll(async () => {
  await Promise.all([runner.close(), recalling.close()]);
  rmSync(folder, { recursive: true });
});

const deed = (what: Deed, timeoutMs = 20_000): RunTask =>
  makeTask(dangerous, { input: { do: what, folder }, timeout_ms: timeoutMs });

/** What was told of each task of a row; undefined: it goes back. */
async function runRow(
  tasks: RunTask[],
  options: { signal?: AbortSignal; onNews?: (index: number) => void; on?: typeof runner } = {},
): Promise<(RunResult | undefined)[]> {
  const results: (RunResult | undefined)[] = tasks.map(() => undefined);
  await (options.on ?? runner).runRow(tasks, {
    signal: options.signal ?? null,
    onNews: (index) => options.onNews?.(index),
    onResult(index, result) {
      expect(results[index]).toBeUndefined();
      results[index] = result;
    },
  });
  return results;
}

const told = (result: RunResult | undefined) => (result === undefined ? undefined : resultOf(result));
const failureOf = (result: RunResult | undefined) => (result === undefined ? undefined : errorOf(result));

test('a row runs in one child, and each result is told', async () => {
  const results = await runRow(Array.from({ length: 40 }, () => deed('pid')));
  const pids = new Set(results.map(told));
  expect(pids.size).toBe(1);
  expect([...pids][0]).toBeTypeOf('number');
});

test('what an item says stays with it', async () => {
  const config = {};
  const tasks = (['echo', 'log', 'metric', 'output', 'throw_error', 'soon', 'echo'] as const).map((what) =>
    behave(what, { config }),
  );
  const results = await runRow(tasks);
  expect(results.map((result) => result?.ok)).toEqual([true, true, true, true, false, true, true]);
  expect(results.map((result) => result?.log?.split('\n')[0] ?? null)).toEqual([
    null,
    'first',
    expect.stringContaining('was dropped'),
    null,
    null,
    null,
    null,
  ]);
  expect(results.map((result) => result?.metrics ?? null)[2]).toEqual({ size: 2.5 });
  expect(results.map((result) => (result?.ok ? result.outputs.length : 0))).toEqual([0, 0, 0, 2, 0, 0, 0]);
});

test.each<Deed>(['abort', 'kill_itself', 'exit'])(
  'a child that dies names the item it was at, and no other: %s',
  async (last) => {
    const results = await runRow([deed('pid'), deed('pid'), deed('pid'), deed(last), deed('pid')]);
    expect(failureOf(results[3])).toMatchObject({ kind: 'retryable', code: 'crashed' });
    // Those before it are told, or go back; the one behind it was not begun.
    for (const result of results.slice(0, 3)) expect(result?.ok ?? true).toBe(true);
    expect(results[4]).toBeUndefined();
  },
);

test('what ran before an item that ends the process is told', async () => {
  const results = await runRow([deed('pid'), deed('pid'), deed('exit')]);
  expect(results.map((result) => result?.ok)).toEqual([true, true, false]);
});

test('an error that nobody caught ends its item only', async () => {
  const results = await runRow([deed('pid'), deed('stray_rejection'), deed('pid')]);
  expect(told(results[0])).toBeTypeOf('number');
  expect(failureOf(results[1])?.message).toBe('nobody awaits me');
  expect(results[2]).toBeUndefined();
});

test('an item that runs out of time ends alone, and those behind it go back', async () => {
  const results = await runRow([deed('pid'), deed('wait', 300), deed('pid')]);
  expect(told(results[0])).toBeTypeOf('number');
  expect(failureOf(results[1])?.code).toBe('timeout');
  expect(results[2]).toBeUndefined();
});

test('an endless loop is named as well, and those behind it go back', async () => {
  const results = await runRow([deed('pid'), deed('loop', 300), deed('pid')]);
  expect(failureOf(results[1])?.code).toBe('timeout');
  expect(results[2]).toBeUndefined();
});

test('an abort ends the item that runs, and those behind it go back', async () => {
  const abort = new AbortController();
  const running: number[] = [];
  const results = await runRow([deed('pid'), deed('wait'), deed('pid')], {
    signal: abort.signal,
    onNews(index) {
      running.push(index);
      abort.abort();
    },
  });
  expect(running).toEqual([1]);
  expect(told(results[0])).toBeTypeOf('number');
  expect(failureOf(results[1])?.code).toBe('cancelled');
  expect(results[2]).toBeUndefined();
});

test('items behind a slow one go back while it runs, and it ends well', async () => {
  const config = {};
  // Far longer than a busy machine takes to ask for them back.
  const slow = behave('ignore_abort', { config, with: { ms: 3_000 } });
  const results = await runRow([slow, behave('echo', { config })], { on: recalling });
  expect(results.map((result) => result?.ok)).toEqual([true, undefined]);
});

test('a row whose abort came first is not begun', async () => {
  const results = await runRow([deed('pid'), deed('pid')], { signal: AbortSignal.abort() });
  expect(failureOf(results[0])?.code).toBe('cancelled');
  expect(results[1]).toBeUndefined();
});
