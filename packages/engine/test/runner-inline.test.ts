import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createInlineRunner } from '../src/adapters/runner-inline/inline-runner.ts';
import { defineProcessor } from '../src/define-processor.ts';
import type { Runner } from '../src/ports/runner.ts';
import { behave } from '../src/testing/contracts/runner/runner-test.ts';
import { errorOf, makeTask, resultOf, runTask } from '../src/testing/contracts/runner/scene.ts';
import { runnerContract } from '../src/testing/contracts/runner.contract.ts';

runnerContract('inline', () => createInlineRunner({ grace_ms: 500 }), { kill: false });

describe('Runner: inline', () => {
  let runner: Runner;
  beforeEach(() => {
    runner = createInlineRunner({ grace_ms: 50 });
  });
  afterEach(() => runner.close());

  test('runs a processor that does not wait before run returns', () => {
    let ran = 0;
    const counter = defineProcessor({ name: 'counter', run: () => void ran++ });
    void runTask(runner, makeTask(counter));
    expect(ran).toBe(1);
  });

  test('holds the slot of code that ignores its abort until it ends', async () => {
    let release: () => void = () => undefined;
    const stubborn = defineProcessor({
      name: 'stubborn',
      run: () => new Promise<void>((resolve) => (release = resolve)),
    });
    let isOver = false;
    const running = runTask(runner, makeTask(stubborn, { timeout_ms: 1 })).then((result) => {
      isOver = true;
      return result;
    });
    // Long after its timeout: others have come and gone by their own.
    await runTask(runner, behave('until_abort', { timeout_ms: 60 }));
    expect(isOver).toBe(false);
    release();
    expect(errorOf(await running).kind).toBe('timeout');
  });

  test('gives up waiting for such code when it is closed', async () => {
    const running = runTask(runner, behave('ignore_abort', { with: { ms: 600 } }));
    await runner.close();
    expect(errorOf(await running).kind).toBe('cancelled');
  });

  test('makes no signal for a processor that does not look at it', async () => {
    const made: unknown[] = [];
    const original = globalThis.AbortController;
    globalThis.AbortController = class extends original {
      constructor() {
        super();
        made.push(this);
      }
    };
    try {
      expect(resultOf(await runTask(runner, behave('echo')))).toEqual({ do: 'echo' });
      expect(made).toHaveLength(0);
      await runTask(runner, behave('until_abort', { timeout_ms: 1 }));
      expect(made).toHaveLength(1);
    } finally {
      globalThis.AbortController = original;
    }
  });

  test('gives a late reader an aborted signal', async () => {
    let sawAbort = false;
    const late = defineProcessor({
      name: 'late',
      async run(_item, context) {
        // Its timeout has come and gone when this item of the same runner has timed out.
        await runTask(runner, behave('until_abort', { timeout_ms: 60 }));
        sawAbort = context.signal.aborted;
      },
    });
    await runTask(runner, makeTask(late, { timeout_ms: 1 }));
    expect(sawAbort).toBe(true);
  });
});
