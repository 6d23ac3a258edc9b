import { randomUUID } from 'node:crypto';
import { fsyncSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import type { ProcessorDefinition } from '../../packages/engine/src/index.ts';

/** When an item of the ledger fails: by itself, for good, or by ending its process. */
export const MOODS = ['well', 'odd', 'permanent', 'exit'] as const;

export type LedgerInput = {
  /** The file that each start is written to. */
  ledger: string;
  wait_ms: number;
  mood: (typeof MOODS)[number];
  output: boolean;
};

/** The same in all lines of this process, also when its parent has died. */
const parentPid = process.ppid;
const opened = new Map<string, number>();

/**
 * Writes a line to a file of its own for every start, and has it on the disk before it goes on: what
 * really ran, whatever the database says. The result names its line.
 */
export const ledger = {
  name: 'torture.ledger',
  module: import.meta.url,
  async run({ batch_id, seq, attempt, input }, { signal, metric, output }) {
    const start = randomUUID();
    const { wait_ms, mood } = input;
    enter(input.ledger, `${batch_id}/${seq}/${attempt} ${start} ${parentPid} ${Date.now()}\n`);
    if (wait_ms > 0) await wait(wait_ms, undefined, { signal });
    if (mood === 'exit' && attempt % 2 === 1) process.exit(7);
    if (mood === 'odd' && attempt % 2 === 1) throw failure('torture_retryable', false);
    if (mood === 'permanent' && attempt % 2 === 1) throw failure('torture_permanent', true);
    if (input.output) writeFileSync(output('start.txt'), `${start}\n`.repeat(50));
    metric('accepted', 1);
    return { start };
  },
} satisfies ProcessorDefinition<Record<string, never>, LedgerInput>;

function enter(path: string, line: string): void {
  const file = opened.get(path) ?? openSync(path, 'a');
  opened.set(path, file);
  // One write of a short line to a file opened for appending: lines of several processes never mix.
  writeSync(file, line);
  fsyncSync(file);
}

function failure(code: string, permanent: boolean): Error {
  return Object.assign(new Error('as its input asked'), { code, permanent });
}
