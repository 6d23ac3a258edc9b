/**
 * Everything that must hold before a change goes in. Runs every step, even after one has failed, and
 * ends with one plain line for people and scripts: `N passed, N failed`.
 *
 *   npm run check            the quick steps
 *   npm run check lint docs  only the steps named
 *   npm run check:all        with the tests that need services, kill processes or open a browser
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { runTests } from './run-tests.ts';

type Result = { ok: boolean; output: string };
type Counts = { passed: number; failed: number };
type Step = {
  name: string;
  run: () => Promise<Result & Partial<Counts> & { note?: string }>;
};

const root = join(import.meta.dirname, '..');
const all = process.argv.includes('--all');
const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith('-'));

const STEPS: Step[] = [
  { name: 'lock', run: () => command('node', 'scripts/repair-lock.ts', '--check') },
  {
    name: 'lint',
    run: () => command('biome', 'ci', '--colors=off', '--reporter=concise', '--max-diagnostics=50', '.'),
  },
  { name: 'types', run: types },
  { name: 'unused', run: () => command('knip', '--no-progress', '--no-config-hints') },
  { name: 'docs', run: () => command('node', 'scripts/generate-docs.ts', '--check') },
  { name: 'tests', run: tests },
];

const unknown = wanted.filter((name) => !STEPS.some((step) => step.name === name));
if (unknown.length > 0) {
  console.error(`No step ${unknown.join(', ')}; there are ${STEPS.map((step) => step.name).join(', ')}.`);
  process.exit(2);
}
const total = await runSteps(STEPS.filter(({ name }) => wanted.length === 0 || wanted.includes(name)));
process.exitCode = total.failed > 0 ? 1 : 0;
console.log(`${total.passed} passed, ${total.failed} failed`);

/** Runs the steps one after the other and adds up their tests; a failed step without tests counts as one. */
async function runSteps(steps: Step[]): Promise<Counts> {
  const sum = { passed: 0, failed: 0 };
  for (const { name, run } of steps) {
    const started = performance.now();
    const { ok, output, passed = 0, failed = 0, note = '' } = await run();
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(`${ok ? 'ok  ' : 'FAIL'}  ${name.padEnd(6)} ${seconds.padStart(6)} s  ${note}`.trimEnd());
    if (!ok) console.log(indent(output));
    sum.passed += passed;
    sum.failed += ok ? 0 : Math.max(1, failed);
  }
  return sum;
}

/**
 * Every folder with a tsconfig.json by itself, so that each is held to its own libraries and types. What
 * runs on Node is one of them: read once instead of by each package that stands on it.
 */
async function types(): Promise<Result> {
  const folders = ['.', ...readdirSync(join(root, 'packages')).map((name) => join('packages', name))];
  const results = await Promise.all(
    folders
      .filter((folder) => existsSync(join(root, folder, 'tsconfig.json')))
      .map((folder) => command('tsc', '-p', folder)),
  );
  // A mistake in a package is met again in every package above it; say it once.
  const lines = new Set(results.flatMap(({ output }) => output.split('\n')));
  return { ok: results.every(({ ok }) => ok), output: [...lines].join('\n') };
}

function tests(): ReturnType<Step['run']> {
  const projects = all ? ['quick', 'services', 'kill', 'browser'] : ['quick'];
  return runTests((args) => command('vitest', ...args), { projects, root });
}

/** Runs a tool of this checkout under this checkout's Node, whatever the machine's own version is. */
function command(name: string, ...args: string[]): Promise<Result> {
  const { FORCE_COLOR: _, ...rest } = process.env;
  const env = {
    ...rest,
    NO_COLOR: '1',
    PATH: [join(root, 'node_modules', '.bin'), process.env.PATH].join(delimiter),
    ...(all && { REQUIRE_SERVICES: '1' }),
  };
  return new Promise((resolve) => {
    const child = spawn(name, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    child.on('error', (error) => resolve({ ok: false, output: error.message }));
    child.on('close', (code) => resolve({ ok: code === 0, output }));
  });
}

function indent(text: string): string {
  return text
    .trim()
    .split('\n')
    .map((line) => `      ${line}`.trimEnd())
    .join('\n');
}
