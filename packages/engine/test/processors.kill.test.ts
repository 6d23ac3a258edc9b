import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { until } from '../src/testing/until.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sheaf-command-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('command', () => {
  test.each(['launched', 'direct'])('its programs die with a killed server: %s', async (how) => {
    const pidFile = join(folder, 'program.pid');
    const server = spawn(
      process.execPath,
      [join(import.meta.dirname, 'fixtures', 'run-command.ts'), how, pidFile],
      {
        stdio: ['ignore', 'ignore', 'inherit'],
      },
    );
    try {
      await until(
        'the program runs',
        () => existsSync(pidFile) && readFileSync(pidFile, 'utf8').endsWith('\n'),
        {
          limit_ms: 20_000,
        },
      );
      const pid = Number(readFileSync(pidFile, 'utf8'));
      expect(isAlive(pid)).toBe(true);
      server.kill('SIGKILL');
      await until('the program is gone', () => !isAlive(pid));
    } finally {
      server.kill('SIGKILL');
    }
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const state = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'latin1') : '';
  return !/\) Z /.test(state);
}
