import {
  cleanProgress,
  emptyNotes,
  logText,
  type Notes,
  noteLine,
  noteMetric,
} from '../../domain/attempt-notes.ts';
import { type Failed, failed, failureOf, stopped } from '../../domain/failure.ts';
import { enter, leave, type Placed } from '../../domain/place.ts';
import { resultToJson } from '../../domain/result-json.ts';
import type { WorkContext } from '../../ports/processor.ts';
import type { RunNews, Runner, RunResult, RunTask } from '../../ports/runner.ts';
import { createWorkContext } from '../work-context.ts';
import { collectOutputs, MAX_OUTPUT_BYTES, outputPath, removeWorkDir } from '../work-dir.ts';

/** How late a timeout or an abort may reach the processor. */
const TICK_MS = 20;

/** An attempt under way. What most processors never use is made when it is first asked for. */
type Attempt = {
  task: RunTask;
  notes: Notes;
  outputs: Set<string> | null;
  controller: AbortController | null;
  stop: 'timeout' | 'cancelled' | null;
};

/** An attempt that returned a promise, watched by the shared tick. */
type Pending = Placed & {
  attempt: Attempt;
  signal: AbortSignal | null;
  deadline: number;
  settle: (result: RunResult | Promise<RunResult>) => void;
};

export type InlineRunnerOptions = {
  /** Longest wait of `close` for processors that ignore their abort. @default 5000 */
  grace_ms?: number;
  /** @default 10 GiB */
  max_output_bytes?: number;
};

/**
 * Runs processors in this very process: for trusted code that waits rather than computes.
 *
 * A processor that returns without a promise costs about a microsecond. Inline code cannot be
 * killed: one that ignores its abort keeps its slot until it ends by itself, and is reported as
 * `timeout` or `cancelled` then; one that never gives the thread back stops the whole process.
 */
export function createInlineRunner(options: InlineRunnerOptions = {}): Runner {
  const graceMs = options.grace_ms ?? 5_000;
  const maxOutputBytes = options.max_output_bytes ?? MAX_OUTPUT_BYTES;
  const pending: Pending[] = [];
  let ticking: NodeJS.Timeout | null = null;
  let isClosed = false;

  return {
    run(task, { signal, onNews }) {
      if (isClosed || signal?.aborted === true) {
        return Promise.resolve(withNotes(stopped('cancelled', task.timeout_ms), emptyNotes()));
      }
      const attempt: Attempt = { task, notes: emptyNotes(), outputs: null, controller: null, stop: null };
      let returned: unknown;
      try {
        returned = task.processor.run(task.item, contextOf(attempt, onNews));
        if (!isThenable(returned)) return Promise.resolve(finish(attempt, maxOutputBytes, returned));
      } catch (thrown) {
        return fail(attempt, thrown);
      }
      return watch(attempt, signal, returned);
    },

    async close() {
      isClosed = true;
      for (const each of pending) stop(each.attempt, 'cancelled');
      const until = performance.now() + graceMs;
      while (pending.length > 0 && performance.now() < until) await nextTick();
      // The process is going down: whatever goes on now has no slot left to hold.
      for (const each of pending) {
        each.settle(withNotes(stopped('cancelled', each.attempt.task.timeout_ms), each.attempt.notes));
      }
      pending.length = 0;
      if (ticking !== null) clearInterval(ticking);
      ticking = null;
    },
  };

  function watch(
    attempt: Attempt,
    signal: AbortSignal | null,
    returned: PromiseLike<unknown>,
  ): Promise<RunResult> {
    return new Promise((settle) => {
      const deadline = performance.now() + attempt.task.timeout_ms;
      const mine = { attempt, signal, deadline, settle, place: 0 };
      enter(pending, mine);
      ticking ??= setInterval(tick, TICK_MS);
      // Promise.resolve: a thenable of the processor's own may call back twice, or throw.
      Promise.resolve(returned).then(
        (value) => over(mine, finish(attempt, maxOutputBytes, value)),
        (thrown) => over(mine, fail(attempt, thrown)),
      );
    });
  }

  function over(mine: Pending, result: RunResult | Promise<RunResult>): void {
    mine.settle(result);
    leave(pending, mine);
  }

  /** One timer for all attempts, and none while nothing runs. */
  function tick(): void {
    if (pending.length === 0 && ticking !== null) {
      clearInterval(ticking);
      ticking = null;
    }
    const now = performance.now();
    for (const { attempt, signal, deadline } of pending) {
      if (attempt.stop !== null) continue;
      if (signal?.aborted === true) stop(attempt, 'cancelled');
      else if (now >= deadline) stop(attempt, 'timeout');
    }
  }
}

function contextOf(attempt: Attempt, onNews: (news: RunNews) => void): WorkContext {
  const { task, notes } = attempt;
  const parts = {
    // Intake has checked the config against the processor's schema.
    config: task.config as WorkContext['config'],
    progress: (step: string, percent?: number) => onNews(cleanProgress(step, percent)),
    log: (line: string) => noteLine(notes, line),
    metric: (name: string, value: number) => noteMetric(notes, name, value),
    output: (name: string) => {
      attempt.outputs ??= new Set();
      return outputPath(task.work_dir, attempt.outputs, name);
    },
  };
  return createWorkContext(parts, () => {
    attempt.controller ??= new AbortController();
    if (attempt.stop !== null) attempt.controller.abort();
    return attempt.controller.signal;
  });
}

function stop(attempt: Attempt, why: 'timeout' | 'cancelled'): void {
  attempt.stop ??= why;
  attempt.controller?.abort();
}

function finish(attempt: Attempt, maxOutputBytes: number, value: unknown): RunResult | Promise<RunResult> {
  if (attempt.stop !== null) return fail(attempt, null);
  const checked = resultToJson(value);
  if ('problem' in checked) return end(attempt, failed('retryable', 'bad_result', checked.problem));
  if (attempt.outputs === null) {
    const { metrics } = attempt.notes;
    return { ok: true, result: checked.json, outputs: [], metrics, log: logText(attempt.notes) };
  }
  return finishWithOutputs(attempt, attempt.outputs, maxOutputBytes, checked.json);
}

async function finishWithOutputs(
  attempt: Attempt,
  names: Set<string>,
  maxOutputBytes: number,
  result: string | null,
): Promise<RunResult> {
  const outputs = collectOutputs(attempt.task.work_dir, names, maxOutputBytes);
  if ('problem' in outputs) return end(attempt, failed('retryable', 'bad_result', outputs.problem));
  if (outputs.length === 0) await removeWorkDir(attempt.task.work_dir);
  return { ...noted(attempt.notes), ok: true, result, outputs };
}

function fail(attempt: Attempt, thrown: unknown): Promise<RunResult> {
  const { stop: why, task } = attempt;
  // Whatever it says after it was told to stop, it was stopped.
  return end(
    attempt,
    why !== null ? stopped(why, task.timeout_ms) : failureOf(thrown, task.item.file?.path ?? null),
  );
}

async function end(attempt: Attempt, failure: Failed): Promise<RunResult> {
  if (attempt.outputs !== null) await removeWorkDir(attempt.task.work_dir);
  return withNotes(failure, attempt.notes);
}

function withNotes(failure: Failed, notes: Notes): RunResult {
  return { ...noted(notes), ...failure };
}

function noted(notes: Notes): { metrics: Record<string, number> | null; log: string | null } {
  return { metrics: notes.metrics, log: logText(notes) };
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

function nextTick(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, TICK_MS));
}
