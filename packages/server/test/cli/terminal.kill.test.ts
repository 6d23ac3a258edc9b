import { spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { writeFiles } from './processors.ts';
import { makePlace, type Place, type Running, until, watch } from './sheaf.ts';

vi.setConfig({ testTimeout: 60_000 });

const BIN = join(import.meta.dirname, '..', '..', 'bin', 'sheaf.js');

/** A tool of util-linux that gives a command a terminal. */
const SCRIPT = 'script';
const hasScript = spawnSync(SCRIPT, ['--version']).stdout?.toString().includes('util-linux') === true;

let place: Place;

beforeAll(() => {
  place = makePlace();
  writeFiles(place.dir);
  writeFileSync(join(place.dir, 'numbers.jsonl'), '{"input":1}\n'.repeat(200));
});

afterAll(() => place.close());

/** Runs a command on a terminal of this width; `type` writes to it as a keyboard does. */
function onTerminal(
  command: string,
  env: Record<string, string> = {},
  columns = 100,
): Running & { type: (keys: string) => void } {
  const line = `stty cols ${columns} rows 30; exec ${process.execPath} ${BIN} ${command}`;
  const child = spawn(SCRIPT, ['-qec', line, '/dev/null'], {
    cwd: place.dir,
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      LANG: 'C.UTF-8',
      TERM: 'xterm-256color',
      SHELL: '/bin/sh',
      ...env,
    },
  });
  return { ...watch(child), type: (keys) => void child.stdin.write(keys) };
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: escapes are what is looked for
const ESCAPE = /\u001b/;
const CURSOR_BACK = '\u001b[?25h';

describe.skipIf(!hasScript)('on a terminal (needs script of util-linux)', () => {
  it('draws in place, never wider than the terminal, and ends with the figures and the cursor', async () => {
    const { code, stdout } = await onTerminal('run ./processors.ts#copy in --out drawn', {}, 60).ended;
    expect(code).toBe(3);
    expect(stdout).toContain('\u001b[?25l');
    expect(stdout.lastIndexOf(CURSOR_BACK)).toBeGreaterThan(stdout.lastIndexOf('\u001b[?25l'));
    const [drawn = '', after = ''] = stdout.split(CURSOR_BACK);
    for (const line of plain(drawn).split(/[\r\n]+/)) expect([...line].length).toBeLessThanOrEqual(60);
    expect(plain(after).replaceAll('\r', '')).toMatch(
      /^⚠ Completed, 1 failed: 3 of 4 items in \S+ s .*\n {2}1 × bad {2}it is bad \(bad\.txt\)\n {2}Outputs {2}\.\/drawn {2}\(3 files, 22 B\)\n {2}Next {5}sheaf retry @last --cause bad\n$/,
    );
  });

  it.each([
    ['NO_COLOR', { NO_COLOR: '1' }],
    ['a dumb terminal', { TERM: 'dumb' }],
    ['CI', { CI: 'true', NO_COLOR: '1' }],
  ])('%s: no colours', async (what, env) => {
    const { stdout } = await onTerminal('list', env).ended;
    expect(stdout).toContain('in');
    expect(stdout).not.toMatch(ESCAPE);
    if (what !== 'CI') return;
    const { stdout: log } = await onTerminal('run ./processors.ts#copy in --out drawn', env).ended;
    expect(log).toMatch(/^\d\d:\d\d:\d\d created bat_/);
    expect(log).not.toMatch(ESCAPE);
  });

  it('speaks ASCII where nothing else is understood', async () => {
    const { stdout } = await onTerminal('list', { LANG: 'C', NO_COLOR: '1' }).ended;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: everything that is not ASCII
    expect(stdout).not.toMatch(/[^\u0000-\u007f]/);
    expect(stdout).toContain('! Completed, 1 failed');
  });

  it('the first ^C lets running items finish and keeps the batch, exit 130', async () => {
    const running = onTerminal('run probe -n kept -p wait_ms=400 --manifest numbers.jsonl');
    await until(() => plain(running.stdout()).includes('running'), running.stdout);
    running.type('\u0003');
    const { code, stdout } = await running.ended;
    expect(code).toBe(130);
    expect(plain(stdout)).toMatch(
      /Finishing \d running items?… \^C again stops at once\. The batch is kept\./,
    );
    expect(plain(stdout)).toContain('Stopped; the batch is kept. Go on: sheaf resume @last, or sheaf up');
    expect(stdout.trimEnd().endsWith(CURSOR_BACK) || stdout.includes(CURSOR_BACK)).toBe(true);

    const batch = JSON.parse((await place.sheaf(['status', 'kept', '--json'])).stdout);
    expect(batch).toMatchObject({ status: 'running', running_items: 0, failed_items: 0 });
    expect(batch.completed_items).toBeGreaterThan(0);
    expect(batch.pending_items).toBe(200 - batch.completed_items);
  });

  it('the second ^C stops at once, and no attempt is burned', async () => {
    await place.sheaf(['cancel', 'kept']);
    const running = onTerminal('run probe -n slow -p wait_ms=30000 --manifest numbers.jsonl');
    await until(() => plain(running.stdout()).includes('running'), running.stdout);
    running.type('\u0003');
    await until(() => running.stdout().includes('^C again'), running.stdout);
    running.type('\u0003');
    expect((await running.ended).code).toBe(130);
    const batch = JSON.parse((await place.sheaf(['status', 'slow', '--json'])).stdout);
    expect(batch).toMatchObject({ status: 'running', pending_items: 200, failed_items: 0 });
  });

  it('asks before it deletes, and takes no for an answer', async () => {
    const running = onTerminal('rm slow --force');
    await until(() => running.stdout().includes('[y/N]'), running.stdout);
    running.type('n\r');
    const { code, stdout } = await running.ended;
    expect(plain(stdout)).toMatch(
      /Delete "slow" with 200 items and all its files\? \[y\/N\] n\s+Nothing was deleted\./,
    );
    expect(code).toBe(0);
    expect((await place.sheaf(['status', 'slow'])).code).toBe(0);
  });
});

/** Without escapes: what is read, in the order in which it was written. */
function plain(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escapes are what is removed
  return text.replace(/\u001b\[[0-9;?]*[A-Za-z]/g, '');
}
