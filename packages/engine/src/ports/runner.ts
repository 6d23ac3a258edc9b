import type { Failure, Json } from '@sheaf/protocol';
import type { Processor, WorkItem } from './processor.ts';

/** One attempt to run. */
export type RunTask = {
  processor: Processor;
  config: Json;
  item: WorkItem;
  timeout_ms: number;
  /**
   * A path of this attempt's own for the folder of its outputs, which is made when the first one is
   * asked for. When `run` ends it is there only if the result names outputs; then the caller takes
   * them over and removes it.
   */
  work_dir: string;
};

/** What a running item says of itself. */
export type RunNews = { step: string; percent: number | null };

export type RunOutput = { name: string; path: string };

/** How an attempt ended. The result is JSON text, at most 256 KiB; metrics are finite numbers. */
export type RunResult = {
  metrics: Record<string, number> | null;
  /** The attempt's log lines joined, at most 256 KiB; null when it said nothing. */
  log: string | null;
} & (
  | { ok: true; result: string | null; outputs: RunOutput[] }
  | { ok: false; error: Failure; retry_after_ms: number | null }
);

/**
 * Runs single attempts and turns whatever happens into data: `run` never rejects, and its slot is
 * really free when it ends. That is at the latest a grace after its timeout or abort where the code
 * can be killed; inline code that ignores its abort is waited for.
 *
 * A timeout or an abort decides the outcome, whatever the processor says after it. Codes given here:
 * `timeout`, `cancelled`, `bad_result` (the message names the field), `bad_output_name`,
 * `bad_processor`, `crashed`, `out_of_memory`, `storage_full` (the disk, not the item: give it back),
 * `input_unreadable`; else the error's own code, or `error`.
 */
export interface Runner {
  /**
   * @param options.signal Aborted for cancel and pause(now): the attempt ends as kind `cancelled`.
   * @param options.onNews Called when the item reports progress; may be called often.
   */
  run(
    task: RunTask,
    options: { signal: AbortSignal | null; onNews: (news: RunNews) => void },
  ): Promise<RunResult>;
  /**
   * Runs tasks of one processor and one config in one slot, one after the other, and tells each
   * result as it comes: handed over together, fast items cost little more than one. Absent where
   * it would gain nothing.
   *
   * When it resolves the slot is free. A task without a result by then was not begun: one before it
   * was slow, was stopped or ended the child. Or it did end, and its child died before it could tell;
   * so only tasks that may run twice belong here. The item that a dead child was at is always named.
   *
   * @param options.onResult `ran_ms`: how long the task itself took, as far as its child is believed.
   */
  runRow?(
    tasks: readonly RunTask[],
    options: {
      signal: AbortSignal | null;
      onNews: (index: number, news: RunNews) => void;
      onResult: (index: number, result: RunResult, ranMs: number) => void;
    },
  ): Promise<void>;
  /** Ends every child. Attempts still running end as `cancelled`, and so does every later `run`. */
  close(): Promise<void>;
}
