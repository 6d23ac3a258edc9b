import type { Failure, Json } from '@sheaf/protocol';
import { type Failed, failed } from '../../domain/failure.ts';
import { checkJson } from '../../domain/result-json.ts';
import type { WorkItem } from '../../ports/processor.ts';

/** What the parent tells a child. One row of items at a time: a `run` is sent only after the row before it. */
export type ParentMessage =
  | { do: 'load'; module: string }
  | {
      do: 'run';
      name: string;
      /** They run one after the other; ids count up. */
      items: { id: number; item: WorkItem; work_dir: string }[];
      max_memory_bytes: number;
      /** Left out when it is the same as for the row before: it may be large. */
      config?: Json;
    }
  /** Begin no more items of the row, and abort the one with this id if it runs. */
  | { do: 'stop'; id: number | null };

/** What a child says. `leaving`: it must not get another item. */
export type ChildMessage =
  | { say: 'loaded' }
  | { say: 'unloadable'; message: string }
  | { say: 'news'; step: string; percent: number | null }
  | { say: 'log'; lines: string[] }
  | { say: 'done'; list: DoneMessage[] }
  /** The items of the row from this one on were not begun, and will not be. */
  | { say: 'back'; from: number };

export type DoneMessage = {
  id: number;
  ms: number;
  leaving?: boolean;
  metrics?: Record<string, number>;
  outputs?: string[];
} & ({ result: string | null } | { error: Failure; retry_after_ms: number | null });

/** Where a child notes the id of the item it begins: what it says last may never be sent when it dies. */
export const BEGUN_FD = 4;
export const BEGUN_BYTES = 8;

/** Exit code of a child that an earlier item's stray error ended, before it began the next item. */
export const STRAY_EXIT = 75;

/** Printed by a child that ends itself for its memory, where the parent cannot watch it. */
export const OUT_OF_MEMORY_MARK = 'sheaf: the child is out of memory';

/** An item's end as the parent believes it: user code ran over there, so every field is checked. */
export type Done = {
  id: number;
  ran_ms: number;
  isLeaving: boolean;
  metrics: Record<string, unknown> | null;
  outputs: string[];
  end: { ok: true; result: string | null } | Failed;
};

export function parseDone(message: Record<string, unknown>): Done {
  return {
    id: typeof message.id === 'number' ? message.id : -1,
    ran_ms: typeof message.ms === 'number' && message.ms >= 0 ? message.ms : 0,
    isLeaving: message.leaving === true,
    metrics: isRecord(message.metrics) ? message.metrics : null,
    outputs: Array.isArray(message.outputs) ? message.outputs.filter((name) => typeof name === 'string') : [],
    end: parseEnd(message),
  };
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function parseEnd(message: Record<string, unknown>): Done['end'] {
  if (isRecord(message.error)) {
    const { kind, code, message: text } = message.error;
    const wait = message.retry_after_ms;
    return {
      ...failed(
        kind === 'permanent' ? 'permanent' : 'retryable',
        typeof code === 'string' && /^[a-z][a-z0-9_]{0,63}$/.test(code) ? code : 'error',
        typeof text === 'string' ? text : '',
      ),
      retry_after_ms: typeof wait === 'number' && wait >= 0 ? wait : null,
    };
  }
  const checked = checkJson(message.result);
  if ('problem' in checked) return failed('retryable', 'bad_result', checked.problem);
  try {
    if (checked.json !== null) JSON.parse(checked.json);
  } catch {
    return failed('retryable', 'bad_result', 'The result is not JSON.');
  }
  return { ok: true, result: checked.json };
}
