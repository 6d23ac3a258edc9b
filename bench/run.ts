/**
 * How fast Sheaf is beside the barest program that does the same: ratios decide, because they hold
 * on any machine; absolute figures are printed with the machine they were measured on.
 *
 *   npm run bench                          everything on one machine's own database, at full size
 *   npm run bench -- --cluster             worker processes on a PostgreSQL of its own instead
 *   npm run bench -- --quick               small sizes: under two minutes, and under four for --cluster
 *   npm run bench -- --only noop,retry     some of it
 *   npm run bench -- --no-gate             print only; a ratio below its floor is no error
 *   npm run bench -- --folder /mnt/disk    where the data lies, instead of the system's own folder
 */
import { fork } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Bench, Figures, Line } from './bench.ts';
import { benchesOf, type Family } from './benches.ts';
import { describeMachine, describePostgres, warnOfNoise } from './machine.ts';
import { printTable } from './table.ts';

/** A side that takes longer than this hangs. */
const SIDE_LIMIT_MS = 15 * 60_000;

const { values: flags } = parseArgs({
  options: {
    cluster: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    'no-gate': { type: 'boolean', default: false },
    folder: { type: 'string', default: tmpdir() },
  },
});

const family: Family = flags.cluster ? 'cluster' : 'embedded';
const benches = await benchesOf(family);
const wanted = flags.only?.split(',');
const unknown = (wanted ?? []).filter((name) => !benches.some((bench) => bench.name === name));
if (unknown.length > 0) {
  console.error(`No bench ${unknown.join(', ')}; there are ${benches.map(({ name }) => name).join(', ')}.`);
  process.exit(2);
}

const machine = { ...describeMachine(flags.folder), ...(flags.cluster && describePostgres()) };
console.log(
  Object.entries(machine)
    .map(([name, value]) => `${name} ${value}`)
    .join(' · '),
);
warnOfNoise();

const lines: Line[] = [];
const figures: Record<string, Record<string, Figures[]>> = {};
for (const bench of benches.filter(({ name }) => wanted === undefined || wanted.includes(name))) {
  try {
    const runs = await runBench(bench);
    figures[bench.name] = runs;
    lines.push(...bench.judge((side, figure) => medianOf(runs[side] ?? [], figure)));
  } catch (error) {
    console.error(error);
    const ours = error instanceof Error ? error.message : String(error);
    lines.push({ label: bench.name, ours, against: '', floor: 'runs', ok: false });
  }
}

printTable(lines);
warnOfNoise();
keep({ at: new Date().toISOString(), family, quick: flags.quick, machine, lines, figures });
if (!flags['no-gate'] && lines.some(({ ok }) => ok === false)) process.exitCode = 1;

/** All sides in turn, as often as the bench asks for: raw, ours, raw, ours … */
async function runBench(bench: Bench): Promise<Record<string, Figures[]>> {
  const mode = flags.quick ? 'quick' : 'full';
  const size = bench.size[mode];
  console.log(`\n${bench.name}: ${bench.about} (${size.toLocaleString('en')})`);
  const runs: Record<string, Figures[]> = {};
  for (let round = 1; round <= bench.rounds[mode]; round += 1) {
    for (const side of Object.keys(bench.sides)) {
      const reached = await runSide(bench.name, side, size);
      runs[side] = [...(runs[side] ?? []), reached];
      const text = Object.entries(reached).map(
        ([name, value]) => `${name} ${Number(value.toPrecision(4)).toLocaleString('en')}`,
      );
      console.log(`  ${side.padEnd(8)} ${text.join('  ')}`);
    }
  }
  return runs;
}

/** A process and a folder of its own: no side warms another one's caches, and memory is its alone. */
async function runSide(bench: string, side: string, size: number): Promise<Figures> {
  const folder = mkdtempSync(join(flags.folder, 'sheaf-bench-'));
  const child = fork(join(import.meta.dirname, 'side.ts'), [family, bench, side, String(size), folder]);
  const limit = setTimeout(() => child.kill('SIGKILL'), SIDE_LIMIT_MS);
  try {
    return await new Promise<Figures>((resolve, reject) => {
      let reached: Figures | null = null;
      child.on('message', (message) => {
        // Sent by side.ts, which sends nothing else.
        reached = message as Figures;
      });
      child.on('error', reject);
      child.on('exit', (code) => {
        if (reached !== null && code === 0) resolve(reached);
        else reject(new Error(`${bench} ${side} ended with code ${code}`));
      });
    });
  } finally {
    clearTimeout(limit);
    rmSync(folder, { recursive: true, force: true });
  }
}

function medianOf(runs: readonly Figures[], figure: string): number {
  const sorted = runs.flatMap((reached) => reached[figure] ?? []).sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle)] ?? Number.NaN)) / 2;
}

function keep(report: unknown): void {
  const folder = join(import.meta.dirname, 'results');
  mkdirSync(folder, { recursive: true });
  // The results are one machine's own: the folder keeps itself out of the repository.
  writeFileSync(join(folder, '.gitignore'), '*\n');
  const name = `${new Date().toISOString().replaceAll(':', '-').slice(0, 19)}.json`;
  writeFileSync(join(folder, name), `${JSON.stringify(report, null, 2)}\n`);
}
