import { ERRORS } from '@sheaf/protocol';

/** What an exit code says, for `sheaf help exit-codes` and the guide. */
const MEANINGS: readonly (readonly [code: number, meaning: string])[] = [
  [0, 'all is well; a batch that was followed is completed'],
  [1, 'something unexpected; --debug shows more'],
  [2, 'the command line was not understood, or a name may be several batches'],
  [3, 'the batch ended with some items failed (partially_completed)'],
  [4, 'the batch failed: no item was completed'],
  [5, 'the batch was cancelled'],
  [6, 'nothing with that id or name'],
  [7, 'not allowed'],
  [8, 'no server answers, or nothing works on the batch'],
  [9, 'wrong state for the action; also: the batch is paused and waits for you'],
  [10, 'the wait timed out; the batch goes on'],
  [11, 'a limit was reached, or the disk is full'],
  [66, 'no input: files that are not there, cannot be read, or match nothing'],
  [74, 'the disk failed to keep a write; the server stopped rather than lose data'],
  [78, 'a setting is wrong; the message says which'],
  [130, '^C; a batch that a server works on goes on'],
  [143, 'ended by SIGTERM, like ^C'],
];

/** The codes with their meaning and the error codes that lead to them, a line each. */
export function exitCodeLines(): string[] {
  return MEANINGS.map(([code, meaning]) => {
    const errors = Object.entries(ERRORS)
      .filter(([, { exit }]) => exit === code && code !== 1 && code !== 2)
      .map(([name]) => name);
    return `${String(code).padStart(4)}  ${meaning}${errors.length === 0 ? '' : `  [${errors.join(', ')}]`}`;
  });
}
