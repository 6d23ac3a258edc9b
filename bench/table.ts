import type { Line } from './bench.ts';

/** The last thing on the screen: what was reached, what it stands against, and whether it is enough. */
export function printTable(lines: readonly Line[]): void {
  const rows = [
    ['', 'ours', 'against', 'needed', ''],
    ...lines.map(({ label, ours, against, floor, ok }) => [label, ours, against, floor, markOf(ok)]),
  ];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  console.log('');
  for (const row of rows) {
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    );
  }
}

function markOf(ok: boolean | null): string {
  if (ok === null) return '';
  return ok ? 'ok' : 'TOO SLOW';
}
