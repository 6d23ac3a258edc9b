import { setTimeout as wait } from 'node:timers/promises';
import type { z } from 'zod';
import { defineProcessor } from '../../src/define-processor.ts';
import type { Processor, WorkContext, WorkItem } from '../../src/ports/processor.ts';

export type Start = { batch_id: string; seq: number; attempt: number; at: number };

/** A processor in this process that writes down what it is asked to do. */
export type Ledger = {
  readonly name: string;
  readonly processor: Processor;
  /** Every attempt that began, in order. */
  readonly starts: Start[];
  /** Every attempt whose code came to its end by itself. */
  readonly ends: Start[];
  /** How many are at work now, and how many were at most since this was last set. */
  readonly atWork: number;
  mostAtWork: number;
  /** How often an item was begun. */
  runsOf(seq: number): number;
  /** Lets all that wait in `pass` go on, now and later. */
  open(): void;
  /** Lets some of those that wait go on: the longest waiting first. */
  release(count: number): void;
};

type LedgerOptions = {
  name?: string;
  version?: string;
  idempotent?: boolean;
  config?: z.ZodType;
  input?: z.ZodType;
  run?: (item: WorkItem, context: WorkContext, gate: { pass(): Promise<void> }) => unknown;
};

/** A `run` may wait at the ledger's gate until the test opens it, or until it is told to stop. */
export function createLedger({ name = 'ledger', run, ...rest }: LedgerOptions = {}): Ledger {
  const starts: Start[] = [];
  const ends: Start[] = [];
  const counts = new Map<number, number>();
  const waiting = new Set<() => void>();
  let isOpen = false;
  let atWork = 0;
  const ledger: Ledger = {
    name,
    starts,
    ends,
    get atWork() {
      return atWork;
    },
    mostAtWork: 0,
    runsOf: (seq) => counts.get(seq) ?? 0,
    open() {
      isOpen = true;
      ledger.release(waiting.size);
    },
    release(count) {
      for (const go of [...waiting].slice(0, count)) go();
    },
    processor: defineProcessor({
      name,
      ...rest,
      async run(item, context) {
        const start = {
          batch_id: item.batch_id,
          seq: item.seq,
          attempt: item.attempt,
          at: performance.now(),
        };
        starts.push(start);
        counts.set(item.seq, (counts.get(item.seq) ?? 0) + 1);
        atWork += 1;
        ledger.mostAtWork = Math.max(ledger.mostAtWork, atWork);
        try {
          const pass = () => (isOpen ? Promise.resolve() : passOrStop(waiting, context.signal));
          // The types of config and input do not matter to a ledger.
          const result = await (run ?? passes)(item as WorkItem, context as unknown as WorkContext, { pass });
          ends.push(start);
          return result;
        } finally {
          atWork -= 1;
        }
      },
    }) as Processor,
  };
  return ledger;
}

/** For a processor whose items wait at the gate. */
export async function waits(
  _: unknown,
  __: unknown,
  { pass }: { pass(): Promise<void> },
): Promise<{ ok: true }> {
  await pass();
  return { ok: true };
}

/** For a processor whose items take this long. */
export function takes(ms: number) {
  return async (_: unknown, { signal }: WorkContext): Promise<{ ok: true }> => {
    await wait(ms, undefined, { signal });
    return { ok: true };
  };
}

function passes(): { ok: true } {
  return { ok: true };
}

function passOrStop(waiting: Set<() => void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = (end: () => void) => () => {
      waiting.delete(go);
      signal.removeEventListener('abort', stop);
      end();
    };
    const go = leave(resolve);
    const stop = leave(() => reject(signal.reason));
    if (signal.aborted) return stop();
    waiting.add(go);
    signal.addEventListener('abort', stop, { once: true });
  });
}
