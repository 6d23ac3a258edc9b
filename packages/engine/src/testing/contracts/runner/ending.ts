import { expect } from 'vitest';
import type { Runner } from '../../../ports/runner.ts';
import { behave, type RunnerTest } from './runner-test.ts';
import { errorOf, resultOf, runTask } from './scene.ts';

export function endingCases(test: RunnerTest, open: () => Runner, supports: { kill: boolean }): void {
  test('ends an item at its timeout', async (runner) => {
    const result = await runTask(runner, behave('until_abort', { timeout_ms: 60 }));
    expect(result).toMatchObject({ retry_after_ms: null, error: { kind: 'timeout', code: 'timeout' } });
    expect(errorOf(result).message).toContain('60 ms');
  });

  test('ends an item when its signal aborts', async (runner) => {
    const abort = new AbortController();
    const running = runTask(runner, behave('until_abort'), { signal: abort.signal });
    abort.abort();
    expect(errorOf(await running)).toMatchObject({ kind: 'cancelled', code: 'cancelled' });
  });

  test('does not start an item whose signal has aborted', async (runner) => {
    const result = await runTask(runner, behave('log'), { signal: AbortSignal.abort() });
    expect(result).toMatchObject({ log: null, error: { kind: 'cancelled' } });
  });

  test('keeps to the timeout, whatever the item says after it', async (runner) => {
    const result = await runTask(runner, behave('until_abort_then_result', { timeout_ms: 60 }));
    expect(errorOf(result).kind).toBe('timeout');
  });

  test('says timeout of an item that ignores its abort', async (runner) => {
    // Code that cannot be killed is waited for; code that can ends a grace after its timeout.
    const ms = supports.kill ? 600_000 : 300;
    expect(
      errorOf(await runTask(runner, behave('ignore_abort', { timeout_ms: 60, with: { ms } }))).kind,
    ).toBe('timeout');
  });

  test('works on after a timeout', async (runner) => {
    await runTask(runner, behave('until_abort', { timeout_ms: 30 }));
    expect(resultOf(await runTask(runner, behave('echo')))).toEqual({ do: 'echo' });
  });

  test('ends what runs as cancelled when it is closed, and what comes after', async () => {
    const runner = open();
    // More than run at a time, so that some still wait.
    const running = Array.from({ length: 12 }, () => runTask(runner, behave('until_abort')));
    await runner.close();
    for (const each of await Promise.all(running)) expect(errorOf(each).kind).toBe('cancelled');
    expect(errorOf(await runTask(runner, behave('echo'))).kind).toBe('cancelled');
    await runner.close();
  });
}
