import { describe } from 'vitest';
import type { Runner } from '../../ports/runner.ts';
import { endingCases } from './runner/ending.ts';
import { failureCases } from './runner/failures.ts';
import { outputCases } from './runner/outputs.ts';
import { resultCases } from './runner/results.ts';
import { runnerTest } from './runner/runner-test.ts';

/**
 * Everything a Runner promises, for every adapter.
 *
 * @param open Opens a runner for at least four items at a time.
 * @param supports.kill Whether it can end code that ignores its abort.
 */
export function runnerContract(name: string, open: () => Runner, supports: { kill: boolean }): void {
  describe(`Runner: ${name}`, () => {
    const test = runnerTest(open);
    describe('results', () => resultCases(test));
    describe('failures', () => failureCases(test));
    describe('outputs', () => outputCases(test));
    describe('timeout, abort and close', () => endingCases(test, open, supports));
  });
}
