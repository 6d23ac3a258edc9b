import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { fences } from './fences.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const BIN = join(ROOT, 'node_modules', '.bin');
const PHOTOS = join(ROOT, 'packages', 'packs', 'samples', 'photos');

/** What stands in the docs is run as it stands: in a folder of its own, against servers of its own. */
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sheaf-docs-'));
  mkdirSync(join(folder, 'my-photos'));
  for (const name of ['fig-in-a-red-bowl.jpg', 'nuthatch.jpg', 'dandelions.jpg']) {
    cpSync(join(PHOTOS, name), join(folder, 'my-photos', name));
  }
});

afterEach(() => {
  // The tour leaves a server running in the background, as its reader would.
  const note = join(folder, 'sheaf-data', 'server.json');
  const server = readOrNull(note);
  if (server !== null) process.kill((JSON.parse(server) as { pid: number }).pid, 'SIGKILL');
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

describe('the README', () => {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');

  test('its sixty seconds do what they say', { timeout: 240_000 }, () => {
    const tour = fences(readme, 'sh').filter((block) => !block.includes('npm ci'));
    // The tour begins with what the demo left, as it does for its reader.
    const script = ['sheaf demo', ...tour].join('\n').replaceAll('npx sheaf', 'sheaf');
    const { output, status } = bash(untilUp(script));
    expect(status, output).toBe(0);
    expect(output).toContain('completed=12 failed=1');
    expect(output).toMatch(/Re-queued: demo/);
    expect(readdirSync(join(folder, 'developed')).length).toBeGreaterThanOrEqual(2);
    expect(output).toMatch(/completed completed=100000 failed=0/);
  });

  test('its program prints what its comment says', { timeout: 60_000 }, () => {
    const [program = ''] = fences(readme, 'ts');
    const { output } = runModule(program);
    expect(output.trim()).toBe('completed 2');
  });
});

describe('the guides', () => {
  test.each([
    ['write-a-processor.md', 'shout', ['run', './shout.ts', './my-photos']],
    ['cli.md', 'double', ['run', './double.ts', '--manifest', 'numbers.jsonl']],
  ])('%s: its first processor runs', { timeout: 60_000 }, (page, name, args) => {
    const text = readFileSync(join(ROOT, 'docs', 'guides', page), 'utf8');
    const source = fences(text, 'ts').find((block) => block.includes(`export const ${name} `)) ?? '';
    writeFileSync(join(folder, `${name}.ts`), source);
    writeFileSync(join(folder, 'numbers.jsonl'), '{"input": 21}\n{"input": 4}\n');
    const { output, status } = bash(`sheaf ${args.join(' ')}`);
    expect(status, output).toBe(0);
    expect(output).toMatch(/completed completed=\d/);
  });

  test('every command they show is one that exists', { timeout: 120_000 }, () => {
    const pages = readdirSync(join(ROOT, 'docs', 'guides')).filter((name) => name.endsWith('.md'));
    const texts = [join(ROOT, 'README.md'), ...pages.map((name) => join(ROOT, 'docs', 'guides', name))];
    const lines = texts.flatMap((path) => commandsIn(readFileSync(path, 'utf8')));
    expect(lines.length).toBeGreaterThan(20);
    const words = new Set(lines.map((line) => line.split(/\s+/)[1] ?? ''));
    for (const word of words) {
      const { status, output } = bash(`sheaf help ${word}`);
      expect(status, `sheaf ${word}\n${output}`).toBe(0);
    }
  });
});

function commandsIn(markdown: string): string[] {
  return [...markdown.matchAll(/^(?:npx )?(sheaf [a-z][^\n]*)$/gm)].map(([, line]) => line ?? '');
}

/** A person waits for the server's first lines before typing on; so does the script. */
function untilUp(script: string): string {
  const wait = 'for i in $(seq 200); do [ -e sheaf-data/server.json ] && break; sleep 0.1; done';
  return script.replace(/^(sheaf up[^\n]*)&.*$/m, `$1> up.log 2>&1 &\n${wait}`);
}

function bash(script: string): { output: string; status: number | null } {
  const env = { ...process.env, PATH: `${BIN}:${process.env.PATH}`, SHEAF_PORT: '0', NO_COLOR: '1' };
  const { stdout, stderr, status } = spawnSync('bash', ['-c', `set -eo pipefail\n${script}`], {
    cwd: folder,
    env,
    encoding: 'utf8',
    timeout: 200_000,
  });
  return { output: `${stdout}\n${stderr}`, status };
}

/** Runs a program that imports our packages; below the repository, where their names are known. */
function runModule(source: string): { output: string } {
  const place = mkdtempSync(join(import.meta.dirname, 'docs-'));
  try {
    writeFileSync(join(place, 'program.ts'), source.replaceAll('./sheaf-data', join(folder, 'data')));
    const { stdout, stderr } = spawnSync(process.execPath, [join(place, 'program.ts')], { encoding: 'utf8' });
    return { output: stdout + stderr };
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
