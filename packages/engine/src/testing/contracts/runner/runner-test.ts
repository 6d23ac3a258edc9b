import type { Json } from '@sheaf/protocol';
import { afterAll, beforeAll, test } from 'vitest';
import type { Runner, RunTask } from '../../../ports/runner.ts';
import { type Behaviour, behaving } from './behaviours.ts';
import { makeTask, type TaskFields } from './scene.ts';

/** A task that behaves as named. */
export type Behave = (behaviour: Behaviour, fields?: TaskFields & { with?: Record<string, Json> }) => RunTask;

export type RunnerTest = (title: string, body: (runner: Runner, behave: Behave) => Promise<void>) => void;

/** Cases share one runner: starting children for each would take most of the time. */
export function runnerTest(open: () => Runner): RunnerTest {
  let runner: Runner;
  beforeAll(() => {
    runner = open();
  });
  afterAll(() => runner.close());
  return (title, body) => test(title, () => body(runner, behave));
}

export function behave(
  behaviour: Behaviour,
  { with: more = {}, ...fields }: TaskFields & { with?: Record<string, Json> } = {},
): RunTask {
  return makeTask(behaving, { input: { do: behaviour, ...more }, ...fields });
}
