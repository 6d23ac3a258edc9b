import type { Ended } from './attempt.ts';
import { MAX_OUTCOMES, MAX_TEXT } from './recorder.ts';

/** Attempts that are over and not on their way to the Store yet. */
export type EndedQueue = {
  readonly length: number;
  /** Whether it fills a commit. */
  readonly isFull: boolean;
  /** Whether it fills two: then nothing more should be started. */
  readonly isCrowded: boolean;
  /** Whether something failed since it was last empty. */
  readonly hasFailures: boolean;
  push(ended: Ended): void;
  /** As many as one commit holds, and at least one. */
  take(): Ended[];
  clear(): void;
};

/** Bounded by count and by text, because a result may have a quarter of a megabyte. */
export function createEndedQueue(): EndedQueue {
  let list: Ended[] = [];
  let text = 0;
  let hasFailures = false;
  return {
    get length() {
      return list.length;
    },
    get isFull() {
      return list.length >= MAX_OUTCOMES || text >= MAX_TEXT;
    },
    get isCrowded() {
      return list.length >= 2 * MAX_OUTCOMES || text >= 2 * MAX_TEXT;
    },
    get hasFailures() {
      return hasFailures;
    },
    push(ended) {
      list.push(ended);
      hasFailures ||= ended.failure !== null;
      text += textOf(ended);
    },
    take() {
      let [count, taken] = [0, 0];
      for (const ended of list) {
        if (count > 0 && (count >= MAX_OUTCOMES || taken + textOf(ended) > MAX_TEXT)) break;
        count += 1;
        taken += textOf(ended);
      }
      const first = list.slice(0, count);
      list = list.slice(count);
      text -= taken;
      if (list.length === 0) hasFailures = false;
      return first;
    },
    clear() {
      list = [];
      text = 0;
      hasFailures = false;
    },
  };
}

function textOf({ result, log }: Ended): number {
  return (result?.length ?? 0) + (log?.length ?? 0);
}
