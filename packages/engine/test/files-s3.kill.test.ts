import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { until } from '../src/testing/until.ts';

const MB = 1024 * 1024;

let folder: string;
let server: ChildProcess;
let place: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sheaf-bucket-'));
  server = run('serve-bucket.ts', folder);
  const said = text(server);
  await until('the bucket is there', () => said().endsWith('\n'), { limit_ms: 30_000 });
  place = said().trim();
});
afterEach(async () => {
  server.kill('SIGKILL');
  if (server.exitCode === null && server.signalCode === null) await once(server, 'close');
  await rm(folder, { recursive: true, force: true });
});

describe('Files: s3', () => {
  test.each([
    // The limits are well above what was seen: 82 and 118 MB.
    ['one large file', 1, 200 * MB, 150 * MB],
    ['many at once', 12, 20 * MB, 190 * MB],
  ])('holds little of what goes through it: %s', async (name, count, size, limit) => {
    const user = run('store-large.ts', place, String(count), String(size));
    const said = text(user);
    const [code] = await once(user, 'close');
    expect(code).toBe(0);
    const { sizes, growth_bytes } = JSON.parse(said()) as { sizes: number[]; growth_bytes: number };
    expect(sizes).toEqual(Array.from({ length: count }, () => size));
    console.log(`${name}: ${Math.round((count * size) / MB)} MB took ${Math.round(growth_bytes / MB)} MB`);
    expect(growth_bytes).toBeLessThan(limit);
  });
});

function run(program: string, ...args: string[]): ChildProcess {
  const path = join(import.meta.dirname, 'fixtures', program);
  return spawn(process.execPath, [path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
}

function text(child: ChildProcess): () => string {
  let said = '';
  child.stdout?.on('data', (chunk) => (said += chunk));
  return () => said;
}
