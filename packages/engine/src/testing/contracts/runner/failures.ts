import { expect } from 'vitest';
import type { Behaviour } from './behaviours.ts';
import type { RunnerTest } from './runner-test.ts';
import { errorOf, resultOf, runTask } from './scene.ts';

const MESSAGES: [Behaviour, RegExp][] = [
  ['throw_error', /^a plain error$/],
  ['throw_type_error', /^TypeError: .*undefined/],
  ['reject', /^rejected$/],
  ['throw_string', /^a text$/],
  ['throw_undefined', /^undefined was thrown$/],
  ['throw_null', /^null was thrown$/],
  ['throw_symbol', /Symbol\(odd\) was thrown/],
  ['throw_frozen', /^frozen$/],
  ['throw_cyclic', /^cyclic/],
  ['throw_getter', /without a message/],
  ['throw_proxy', /without a message/],
  ['throw_to_json', /^with a bomb$/],
  ['throw_nul', /^a\ufffdb \ufffd$/],
  ['throw_long', /^€+…$/],
  ['then_getter', /no then/],
];

export function failureCases(test: RunnerTest): void {
  for (const [behaviour, words] of MESSAGES) {
    test(`makes data of whatever is thrown: ${behaviour}`, async (runner, behave) => {
      const result = await runTask(runner, behave(behaviour));
      expect(result).toMatchObject({
        ok: false,
        retry_after_ms: null,
        error: { kind: 'retryable', code: 'error' },
      });
      const { message } = errorOf(result);
      expect(message).toMatch(words);
      expect(message.length).toBeLessThanOrEqual(2_000);
      expect(message.isWellFormed()).toBe(true);
    });
  }

  test("keeps an error's own code, in small letters, when it is one", async (runner, behave) => {
    const codes: Record<string, Behaviour> = {
      quota_exceeded: 'throw_code',
      econnrefused: 'throw_system_code',
      error: 'throw_odd_code',
    };
    for (const [code, behaviour] of Object.entries(codes)) {
      expect(errorOf(await runTask(runner, behave(behaviour))).code).toBe(code);
    }
  });

  test('tells what stands behind an error', async (runner, behave) => {
    expect(errorOf(await runTask(runner, behave('throw_cause')))).toMatchObject({
      code: 'econnrefused',
      message: 'fetch failed: nobody listens',
    });
  });

  test('fails for good when the processor says permanent', async (runner, behave) => {
    expect(errorOf(await runTask(runner, behave('permanent')))).toEqual({
      kind: 'permanent',
      code: 'unsupported',
      message: 'it will never work',
    });
  });

  test('keeps the pause that the processor asks for', async (runner, behave) => {
    expect(await runTask(runner, behave('retry_after'))).toMatchObject({
      retry_after_ms: 1_500,
      error: { kind: 'retryable', code: 'retry_after', message: 'busy' },
    });
  });

  test('tells a full disk and an unreadable input from other errors', async (runner, behave) => {
    expect(errorOf(await runTask(runner, behave('throw_disk_full'))).code).toBe('storage_full');
    expect(errorOf(await runTask(runner, behave('throw_unreadable', { path: '/tmp/x' }))).code).toBe(
      'input_unreadable',
    );
    expect(errorOf(await runTask(runner, behave('throw_unreadable'))).code).toBe('eio');
  });

  test('works on after every failure', async (runner, behave) => {
    for (const behaviour of ['throw_proxy', 'throw_long', 'return_deep', 'return_huge'] as const) {
      await runTask(runner, behave(behaviour));
      expect(resultOf(await runTask(runner, behave('echo')))).toEqual({ do: 'echo' });
    }
  });
}
