import { emptyNotes, logText, type Notes } from '../../domain/attempt-notes.ts';
import { type Failed, failed, stopped } from '../../domain/failure.ts';
import type { RunNews, RunResult, RunTask } from '../../ports/runner.ts';
import { collectOutputs, removeWorkDir } from '../work-dir.ts';
import type { Death } from './child-handle.ts';
import { type Done, OUT_OF_MEMORY_MARK } from './messages.ts';

/** How long a child may take to start and to import its module. */
export const LOAD_MS = 60_000;

/** Tasks that one child runs one after the other. */
export type Row = {
  /** Ids count up from here. */
  firstId: number;
  tasks: readonly RunTask[];
  /** Which of them runs. */
  at: number;
  /** Those from here on are not for this child any more. */
  end: number;
  signal: AbortSignal | null;
  onNews: (index: number, news: RunNews) => void;
  onResult: (index: number, result: RunResult, ranMs: number) => void;
  settle: () => void;
  /** Results that wait for the removal of a folder. */
  late: Promise<void>[];
  /** Of the item that runs, as all below. */
  notes: Notes;
  begunAt: number;
  deadline: number;
  stop: 'timeout' | 'cancelled' | null;
  killAt: number;
  killedFor: 'stop' | 'memory' | 'load' | null;
  isRecalled: boolean;
  isSecondTry: boolean;
};

/** A row nobody has begun. */
export function makeRow(
  firstId: number,
  tasks: readonly RunTask[],
  caller: Pick<Row, 'signal' | 'onNews' | 'onResult' | 'settle'>,
): Row {
  return {
    firstId,
    tasks,
    ...caller,
    at: 0,
    end: tasks.length,
    late: [],
    notes: emptyNotes(),
    begunAt: 0,
    deadline: 0,
    stop: null,
    killAt: 0,
    killedFor: null,
    isRecalled: false,
    isSecondTry: false,
  };
}

/** What became of the item that runs, once its child has told. */
export function resultOf(
  row: Row,
  { end, outputs: names }: Done,
  maxOutputBytes: number,
): RunResult | Promise<RunResult> {
  const task = taskOf(row);
  const notes = noted(row.notes);
  // Whatever it says after it was told to stop, it was stopped.
  const outcome = row.stop === null ? end : stopped(row.stop, task.timeout_ms);
  if (!outcome.ok)
    return names.length === 0 ? { ...notes, ...outcome } : cleared(task, { ...notes, ...outcome });
  if (names.length === 0) return { ...notes, ...outcome, outputs: [] };
  const outputs = collectOutputs(task.work_dir, names, maxOutputBytes);
  if ('problem' in outputs) {
    return cleared(task, { ...notes, ...failed('retryable', 'bad_result', outputs.problem) });
  }
  const result = { ...notes, ...outcome, outputs };
  return outputs.length === 0 ? cleared(task, result) : result;
}

/** What became of the item that ran when its child died. */
export function causeOfDeath(row: Row, { code, signal, tail }: Death): Failed {
  const { processor, timeout_ms: timeoutMs } = taskOf(row);
  const { max_memory_bytes: limit } = processor;
  if (row.stop !== null) return stopped(row.stop, timeoutMs);
  if (row.killedFor === 'load')
    return failed('retryable', 'bad_processor', `The module did not load within ${LOAD_MS} ms.`);
  if (row.killedFor === 'memory' || tail.includes(OUT_OF_MEMORY_MARK)) {
    return failed(
      'retryable',
      'out_of_memory',
      `The item needed more than ${Math.round(limit / 1_048_576)} MiB of memory.`,
    );
  }
  // V8 aborts when its heap is full, and says so; other aborts are crashes of native code.
  if ((signal === 'SIGABRT' || code === 134) && /out of memory/i.test(tail)) {
    return failed(
      'retryable',
      'out_of_memory',
      'The item needed more memory than the JavaScript heap may have.',
    );
  }
  if (signal !== null)
    return failed('retryable', 'crashed', `The child process was killed by ${signal} while it ran the item.`);
  if (code === null) return failed('retryable', 'crashed', `The child process could not be started: ${tail}`);
  return failed(
    'retryable',
    'crashed',
    `The child process ended with exit code ${code} while it ran the item.`,
  );
}

/** Never began: all that is told is told of the first. */
export function refuse(row: Row, why: 'cancelled'): void {
  fail(row, stopped(why, taskOf(row).timeout_ms));
}

export function fail(row: Row, failure: Failed): void {
  tell(row, row.at, { ...noted(row.notes), ...failure }, 0);
  settle(row);
}

export function tell(row: Row, index: number, result: RunResult | Promise<RunResult>, ranMs: number): void {
  if (!(result instanceof Promise)) row.onResult(index, result, ranMs);
  else row.late.push(result.then((known) => row.onResult(index, known, ranMs)));
}

export function settle({ late, settle: resolve }: Row): void {
  if (late.length === 0) resolve();
  else void Promise.all(late).then(() => resolve());
}

export async function cleared(task: RunTask, result: RunResult): Promise<RunResult> {
  await removeWorkDir(task.work_dir);
  return result;
}

/** The one that runs, or the first. */
export function taskOf({ tasks, at }: Row): RunTask {
  const task = tasks[at];
  if (task === undefined) throw new Error('A row ended before its end.');
  return task;
}

export function maxMemoryOf({ tasks }: Row): number {
  return tasks[0]?.processor.max_memory_bytes ?? Number.POSITIVE_INFINITY;
}

export function noted(notes: Notes): { metrics: Record<string, number> | null; log: string | null } {
  return { metrics: notes.metrics, log: logText(notes) };
}
