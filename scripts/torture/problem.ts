/** A broken promise, by the line of the table that counts it. */
export type Problem = { kind: ProblemKind; text: string };

export const PROBLEM_KINDS = {
  lost: 'lost',
  twice: 'recorded twice',
  moved: 'acknowledged moves undone',
  drift: 'counter drift',
  ledger: 'ledger mismatches',
  outputs: 'outputs missing or wrong',
  answer: 'wrong answers',
  process: 'processes astray',
} as const;

export type ProblemKind = keyof typeof PROBLEM_KINDS;

export function problem(kind: ProblemKind, text: string): Problem {
  return { kind, text };
}
