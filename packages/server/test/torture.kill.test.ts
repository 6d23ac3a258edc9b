import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const TORTURE = join(import.meta.dirname, '..', '..', '..', 'scripts', 'torture.ts');

const run = promisify(execFile);

test('keeps what it acknowledged over kills at any moment', { timeout: 300_000 }, async () => {
  const { stdout } = await run(process.execPath, [TORTURE, '--rounds', '5', '--seed', '3'], {
    timeout: 280_000,
  });

  expect(stdout).toMatch(/^lost +0$/m);
  expect(stdout).toMatch(/^recorded twice +0$/m);
  expect(stdout).toMatch(/^counter drift +0$/m);
  expect(stdout).toMatch(/^rounds +5$/m);
});
