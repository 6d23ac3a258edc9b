import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createDiskFiles } from '../src/adapters/files-disk/disk-files.ts';
import { until } from '../src/testing/until.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sheaf-disk-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('Files: disk', () => {
  test('killed at any moment: what was stored is there, what is there is whole', async () => {
    const root = join(folder, 'files');
    const said: string[] = [];
    for (let round = 1; round <= 5; round++) {
      const writer = spawn(
        process.execPath,
        [join(import.meta.dirname, 'fixtures', 'store-files.ts'), root],
        {
          stdio: ['ignore', 'pipe', 'inherit'],
        },
      );
      let text = '';
      writer.stdout?.on('data', (chunk) => (text += chunk));
      await until('it has stored some', () => text.split('\n').length > round * 7, { limit_ms: 30_000 });
      writer.kill('SIGKILL');
      await new Promise((resolve) => writer.on('close', resolve));
      said.push(...text.split('\n').filter((line) => line.length === 64));
    }

    const files = createDiskFiles({ root });
    expect(await readdir(join(root, '.tmp'))).toEqual([]);
    const there = await Array.fromAsync(files.list('default'));
    for (const { sha256 } of there) {
      const bytes = Buffer.concat(await (await files.open('default', sha256)).toArray());
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(sha256);
    }
    expect(there.map(({ sha256 }) => sha256)).toEqual(expect.arrayContaining(said));
  });
});
