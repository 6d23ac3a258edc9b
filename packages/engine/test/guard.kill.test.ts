import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errorCode } from '@sheaf/protocol';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { holdGuard } from '../src/adapters/guard/guard.ts';
import { until } from '../src/testing/until.ts';

let folder: string;
let holder: ChildProcess;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sheaf-guard-'));
});
afterEach(async () => {
  holder.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

describe('guard', () => {
  test('is free at once when its holder is killed, and names the dead one to nobody', async () => {
    for (let round = 0; round < 3; round++) {
      holder = spawn(process.execPath, [join(import.meta.dirname, 'fixtures', 'hold-guard.ts'), folder], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let said = '';
      holder.stdout?.on('data', (chunk) => (said += chunk));
      await until('the other process holds it', () => said.includes('held'), { limit_ms: 20_000 });

      const refused = attempt();
      expect(errorCode(refused)).toBe('already_running');
      expect(refused).toMatchObject({ details: { pid: holder.pid, boot: 'theirs' } });

      const gone = new Promise((resolve) => holder.on('exit', resolve));
      holder.kill('SIGKILL');
      await gone;
      const guard = holdGuard(folder, { boot: 'ours', now: 0 });
      guard.release();
    }
  });

  test('is held by a stopped process too', async () => {
    holder = spawn(process.execPath, [join(import.meta.dirname, 'fixtures', 'hold-guard.ts'), folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    holder.stdout?.on('data', (chunk) => (said += chunk));
    await until('the other process holds it', () => said.includes('held'), { limit_ms: 20_000 });
    holder.kill('SIGSTOP');
    expect(errorCode(attempt())).toBe('already_running');
  });
});

function attempt(): unknown {
  try {
    holdGuard(folder, { boot: 'ours', now: 0 }).release();
    return null;
  } catch (error) {
    return error;
  }
}
