import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import type { Counts } from './ack-log.ts';
import type { Totals } from './inspection.ts';
import { PROBLEM_KINDS, type ProblemKind } from './problem.ts';

/** What happened, for people to compare: every line is a count or a time. */
export function tableOf(
  totals: Totals & Counts,
  { seed, seconds }: { seed: number; seconds: number },
): string {
  const { listening_ms, recovery_ms, problems } = totals;
  const count = (kind: ProblemKind) => problems.filter((one) => one.kind === kind).length;
  const rows: [string, string | number][] = [
    ['rounds', totals.rounds],
    ['kills', totals.kills],
    ['servers stopped for 7.3 s', totals.stops],
    ['actions acknowledged', totals.acknowledged],
    ['actions refused', totals.refused],
    ['actions cut off by a kill', totals.unanswered],
    ['batches', totals.batches],
    ['items', totals.items],
    ['recorded', totals.recorded],
    ['cancelled', totals.cancelled],
    ['starts in the ledger', totals.starts],
    ['parked as poison at the end', totals.poisoned],
    ...Object.entries(PROBLEM_KINDS).map(([kind, label]): [string, number] => [
      label,
      count(kind as ProblemKind),
    ]),
    ['listening again, p50 / max', spread(listening_ms)],
    ['work again, p50 / max', spread(recovery_ms)],
    ['took', `${seconds.toFixed(0)} s on ${availableParallelism()} CPUs, Node ${process.versions.node}`],
    ['seed', seed],
    ['commit', commit()],
  ];
  const width = Math.max(...rows.map(([label]) => label.length));
  return rows.map(([label, value]) => `${label.padEnd(width)}  ${value}`).join('\n');
}

/** Counted from the start of the process, so what Node needs to load is in it. */
function spread(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  return `${sorted[Math.floor(sorted.length / 2)] ?? '–'} / ${sorted.at(-1) ?? '–'} ms`;
}

function commit(): string {
  const git = (...args: string[]) =>
    execFileSync('git', args, {
      cwd: import.meta.dirname,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  try {
    return `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain') === '' ? '' : ' and changes'}`;
  } catch {
    return 'unknown';
  }
}
