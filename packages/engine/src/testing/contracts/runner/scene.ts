import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Json } from '@sheaf/protocol';
import type { Processor } from '../../../ports/processor.ts';
import type { RunNews, Runner, RunResult, RunTask } from '../../../ports/runner.ts';

export type TaskFields = Partial<Omit<RunTask, 'item'>> & { input?: Json; path?: string };

/** A task of the processor, with a folder of its own that does not exist yet. */
export function makeTask(processor: Processor, { input = {}, path, ...fields }: TaskFields = {}): RunTask {
  return {
    processor,
    config: {},
    item: {
      batch_id: 'bat_00000000000000000000000001',
      seq: 7,
      name: 'photo.jpg',
      key: null,
      input,
      attempt: 1,
      file:
        path === undefined
          ? null
          : { path, name: 'photo.jpg', bytes: 1, sha256: '0'.repeat(64), media_type: 'image/jpeg' },
    },
    timeout_ms: 20_000,
    work_dir: join(tmpdir(), `sheaf-work-${randomUUID()}`),
    ...fields,
  };
}

/** Runs a task to its end. */
export function runTask(
  runner: Runner,
  task: RunTask,
  {
    signal = null,
    onNews = () => undefined,
  }: { signal?: AbortSignal | null; onNews?: (news: RunNews) => void } = {},
): Promise<RunResult> {
  return runner.run(task, { signal, onNews });
}

/** The error of an attempt that failed; throws when it did not. */
export function errorOf(result: RunResult): { kind: string; code: string; message: string } {
  if (result.ok) throw new Error(`It should have failed, but gave ${result.result}.`);
  return result.error;
}

/** The result of an attempt, parsed; throws when it failed. */
export function resultOf(result: RunResult): unknown {
  if (!result.ok) throw new Error(`It failed: ${result.error.code}: ${result.error.message}`);
  return result.result === null ? null : JSON.parse(result.result);
}

/** Whether the attempt's folder is there. */
export function hasFolder(task: RunTask): boolean {
  return existsSync(task.work_dir);
}
