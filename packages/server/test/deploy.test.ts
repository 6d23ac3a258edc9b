import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ERRORS } from '@sheaf/protocol';
import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { createProgram } from '../src/cli/program.ts';
import { DRAIN_MS } from '../src/cli/serve.ts';
import { envName, settingsSchema } from '../src/config.ts';
import { fences } from './fences.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const GUIDES = join(ROOT, 'docs', 'guides');
const UNITS = ['deploy/sheaf.service', 'deploy/sheaf-worker@.service'];
const FILES = ['Dockerfile', 'compose.yaml', 'deploy/Caddyfile', ...UNITS];

const PAGES = ['README.md', ...readdirSync(GUIDES).map((name) => join('docs', 'guides', name))];

/** Nobody runs these files and pages whole in a test, but what they name has to exist. */
describe('the files for a cluster', () => {
  test.each([...FILES, ...PAGES])('%s: every variable it sets is one that is read', (name) => {
    const known = Object.keys(settingsSchema.shape).map((setting) => envName(setting as never)); // its own keys
    const others = ['SHEAF_DATA', 'SHEAF_SERVER', 'SHEAF_CONFIG'];
    // What a processor's program finds in its environment.
    const ofItems = ['SHEAF_BATCH_ID', 'SHEAF_SEQ', 'SHEAF_ATTEMPT'];
    const named = new Set(read(name).match(/\bSHEAF_[A-Z_]+\b/g) ?? []);
    expect([...known, ...others, ...ofItems]).toEqual(expect.arrayContaining([...named]));
  });

  test.each(['compose.yaml', ...UNITS, ...PAGES])('%s: every command and flag it shows exists', (name) => {
    const program = createProgram({ code: 0, context: null });
    for (const line of commandsIn(name)) expect(problemOf(program, line), line).toBeNull();
  });

  test('would find a command or a flag that does not exist', () => {
    const program = createProgram({ code: 0, context: null });
    expect(problemOf(program, 'sheaf wrker --concurrency 4')).toBe('there is no command wrker');
    expect(problemOf(program, 'sheaf worker --concurency 4')).toBe('worker has no --concurency');
    expect(commandsIn('deploy/sheaf.service')).not.toEqual([]);
    expect(commandsIn('compose.yaml')).toHaveLength(2);
  });

  test('every file they point at is there', () => {
    const cluster = ['deploy-a-cluster.md', 'grow-beyond-one-postgresql.md'];
    const links = cluster.flatMap((name) =>
      [...read(join('docs', 'guides', name)).matchAll(/\]\(([^)#:]+)\)/g)].map(([, path]) => path ?? ''),
    );
    expect(links.filter((path) => !existsSync(join(GUIDES, path)))).toEqual([]);
    const mounted = [...read('compose.yaml').matchAll(/- (\.\/[^:]+):/g)].map(([, path]) => path ?? '');
    expect(mounted.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  test('the image is made of every package, and has the Node that is locked', () => {
    const dockerfile = read('Dockerfile');
    const { workspaces } = JSON.parse(read('package.json')) as { workspaces: string[] };
    for (const folder of workspaces) expect(dockerfile).toContain(`COPY ${folder}/package.json ${folder}/\n`);
    // npm of the image installs; what runs comes from the lock file.
    expect(dockerfile).toContain(`FROM node:${read('.nvmrc').trim()}-`);
    const ignored = read('.dockerignore').split('\n');
    expect(ignored).toEqual(expect.arrayContaining(['*', '!package-lock.json', '!.npmrc', '!packages']));
  });

  test('a stop waits longer than running items may take', () => {
    const waits = [
      ...read('compose.yaml').matchAll(/x-sheaf[\s\S]*?stop_grace_period: (\d+)s/g),
      ...UNITS.flatMap((unit) => [...read(unit).matchAll(/TimeoutStopSec=(\d+)/g)]),
    ].map(([, seconds]) => Number(seconds) * 1_000);
    expect(waits).toHaveLength(3);
    for (const wait of waits) expect(wait).toBeGreaterThan(DRAIN_MS + 10_000);
  });

  test('the units start again after every failure that may pass, and no other', () => {
    const final = `RestartPreventExitStatus=${ERRORS.usage.exit} ${ERRORS.bad_config.exit}\n`;
    for (const unit of UNITS) {
      expect(read(unit)).toContain(final);
      expect(read(unit)).toContain('KillMode=mixed\nKillSignal=SIGTERM\n');
    }
  });

  test('nobody but the proxy can be reached from outside', () => {
    const compose = read('compose.yaml');
    expect(compose.match(/^ {4}ports: .*$/gm)).toEqual(['    ports: ["127.0.0.1:8080:8080"]']);
    expect(compose).toMatch(/^ {2}server:\n(?: {4}.*\n)*? {4}network_mode: service:proxy$/m);
    expect(read('deploy/Caddyfile')).toMatch(/basic_auth[\s\S]*reverse_proxy 127\.0\.0\.1:5100/);
  });
});

function read(name: string): string {
  return readFileSync(join(ROOT, name), 'utf8');
}

/** Command lines of `sheaf`: in fences of a page, in services of the compose file, in units. */
function commandsIn(name: string): string[] {
  const text = read(name);
  if (name === 'compose.yaml') {
    return [...text.matchAll(/^ {4}command: \[(.*)\]$/gm)].map(
      ([, list]) => `sheaf ${(list ?? '').replaceAll(/[,"]/g, '')}`,
    );
  }
  const code = name.endsWith('.md') ? [...fences(text, 'sh'), ...fences(text, '')].join('\n') : text;
  // A column of three spaces ends a command: prose follows, or the next one.
  const command = /(?<=^|npx | {3}|\| |exec server |bin\/)sheaf [a-z](?:(?! {3})[^\n|&#])*/gm;
  return [...code.matchAll(command)].map(([line]) => line);
}

/** What is wrong with a command line, or null. Prose behind a command is no flag of it. */
function problemOf(program: Command, line: string): string | null {
  const [, ...words] = line.trim().split(/\s+/);
  let command = program;
  for (const word of words) {
    const next = command.commands.find((one) => one.name() === word || one.aliases().includes(word));
    if (next === undefined) break;
    command = next;
  }
  if (command === program && words[0] !== 'help') return `there is no command ${words[0]}`;
  const known = [program, command].flatMap(({ options }) => options.map(({ long }) => long));
  const flags = words.flatMap((word) => /^--[a-z-]+/.exec(word) ?? []);
  const unknown = flags.find((flag) => !known.includes(flag) && flag !== '--help');
  return unknown === undefined ? null : `${command.name()} has no ${unknown}`;
}
