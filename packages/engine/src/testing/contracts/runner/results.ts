import { MAX_ITEM_JSON_BYTES } from '@sheaf/protocol';
import { expect } from 'vitest';
import type { RunNews } from '../../../ports/runner.ts';
import { until } from '../../until.ts';
import type { Behaviour } from './behaviours.ts';
import type { RunnerTest } from './runner-test.ts';
import { errorOf, resultOf, runTask } from './scene.ts';

/** What the message must name for each result that cannot be stored. */
const BAD_RESULTS: [Behaviour, RegExp][] = [
  ['return_bigint', /at deep\.0\.count is a BigInt/],
  ['return_cyclic', /self.* holds itself/],
  ['return_function', /at callback is a function/],
  ['return_symbol', /is a symbol/],
  ['return_nan', /at mean is NaN/],
  ['return_date', /at at is an invalid Date/],
  ['return_map', /at counts is a Map/],
  ['return_bytes', /at image is binary data/],
  ['return_proto', /__proto__/],
  ['return_to_json', /bomb/],
  ['return_to_json_for_ever', /nested deeper|holds itself/],
  ['return_getter', /no field/],
  ['return_huge', /256 KiB/],
  ['return_wide', /256 KiB/],
  ['return_wide_letters', /256 KiB/],
  ['return_shared', /256 KiB/],
  ['return_deep', /nested deeper/],
];

export function resultCases(test: RunnerTest): void {
  test('gives the result as JSON text', async (runner, behave) => {
    const result = await runTask(runner, behave('echo', { with: { deep: [1, { a: null }], text: 'é' } }));
    expect(result).toEqual({
      ok: true,
      result: '{"do":"echo","deep":[1,{"a":null}],"text":"é"}',
      outputs: [],
      metrics: null,
      log: null,
    });
  });

  test('gives no result for undefined', async (runner, behave) => {
    expect(await runTask(runner, behave('nothing'))).toMatchObject({ ok: true, result: null });
  });

  test('waits for promises, and for promises of promises', async (runner, behave) => {
    expect(resultOf(await runTask(runner, behave('soon')))).toEqual({ soon: true });
    expect(resultOf(await runTask(runner, behave('promise_of_promise')))).toBe('inner');
  });

  test('takes the first word of a thenable that says several', async (runner, behave) => {
    expect(resultOf(await runTask(runner, behave('thenable_twice')))).toBe('first');
  });

  test('hands the processor its item and config', async (runner, behave) => {
    const task = behave('item', { path: '/tmp/photo' });
    expect(resultOf(await runTask(runner, task))).toEqual(task.item);
    for (const config of [{ size: 1 }, { size: 2 }, { size: 2 }]) {
      expect(resultOf(await runTask(runner, behave('config', { config })))).toEqual(config);
    }
  });

  test('writes dates as JSON does, and leaves undefined out', async (runner, behave) => {
    expect(resultOf(await runTask(runner, behave('date')))).toEqual({
      at: '1970-01-01T00:00:00.000Z',
      list: [null],
    });
  });

  test('replaces what databases refuse: NUL and half characters', async (runner, behave) => {
    expect(resultOf(await runTask(runner, behave('nul')))).toEqual({
      text: 'a\ufffdb',
      half: '\ufffd',
      back: '\\u0000',
      whole: '😀',
    });
  });

  for (const [behaviour, words] of BAD_RESULTS) {
    test(`fails as bad_result, saying why: ${behaviour}`, async (runner, behave) => {
      const error = errorOf(await runTask(runner, behave(behaviour)));
      expect(error).toMatchObject({ kind: 'retryable', code: 'bad_result' });
      expect(error.message).toMatch(words);
      expect(error.message.length).toBeLessThanOrEqual(2_000);
    });
  }

  test('takes a result of exactly 256 KiB', async (runner, behave) => {
    const around = JSON.stringify({ do: 'echo', text: '' }).length;
    const text = 'x'.repeat(MAX_ITEM_JSON_BYTES - around);
    const result = await runTask(runner, behave('echo', { with: { text } }));
    expect(result.ok && result.result?.length).toBe(MAX_ITEM_JSON_BYTES);
    expect(errorOf(await runTask(runner, behave('echo', { with: { text: `${text}x` } }))).code).toBe(
      'bad_result',
    );
  });

  test('keeps log lines in order, control characters escaped', async (runner, behave) => {
    expect((await runTask(runner, behave('log'))).log).toBe('first\nsecond\\x1b[31m');
  });

  for (const behaviour of ['log_flood', 'log_one_line'] as const) {
    test(`cuts the log at 256 KiB with a mark: ${behaviour}`, async (runner, behave) => {
      const { log, ok } = await runTask(runner, behave(behaviour));
      expect(ok).toBe(true);
      expect(Buffer.byteLength(log ?? '')).toBeLessThanOrEqual(262_144);
      expect(Buffer.byteLength(log ?? '')).toBeGreaterThan(200_000);
      expect(log?.slice(-60)).toContain('was cut here');
    });
  }

  test('keeps the last value of each metric, and drops what is no number', async (runner, behave) => {
    const { metrics, log } = await runTask(runner, behave('metric'));
    expect(metrics).toEqual({ size: 2.5 });
    expect(log).toContain('nan = NaN was dropped');
    expect(log).toContain('__proto__');
  });

  test('passes progress on, cleaned', async (runner, behave) => {
    const news: RunNews[] = [];
    const onNews = (each: RunNews) => news.push(each);
    await runTask(runner, behave('progress'), { onNews });
    expect(news).toContainEqual({ step: 'half', percent: 50 });
  });

  test('runs several at a time', async (runner, behave) => {
    const abort = new AbortController();
    let held = 0;
    const onNews = () => held++;
    const running = [1, 2, 3, 4].map(() => runTask(runner, behave('hold'), { signal: abort.signal, onNews }));
    await until('all four have started, and none has ended', () => held === 4);
    abort.abort();
    await Promise.all(running);
  });
}
