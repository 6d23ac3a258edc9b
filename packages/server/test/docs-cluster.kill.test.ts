import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { describePostgres, openTemporaryBucket } from '@sheaf/engine/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fences } from './fences.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const GUIDE = readFileSync(join(ROOT, 'docs', 'guides', 'deploy-a-cluster.md'), 'utf8');

/** A person waits until the server and the worker are there before typing on; so does the script. */
const WAIT = {
  up: 'for i in $(seq 600); do [ -e sheaf-data/server.json ] && break; sleep 0.1; done',
  worker:
    'for i in $(seq 60); do [ "$(sheaf worker list --json | grep -o \'"boot"\' | wc -l)" = 2 ] && break; done',
};

/** What the guide shows first is run as it stands, against a PostgreSQL and a bucket of its own. */
describePostgres('the guide to a cluster', (postgres) => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sheaf-docs-'));
  });

  afterEach(() => {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });

  test('its first commands make a cluster that works, with a bucket', { timeout: 240_000 }, async () => {
    const bucket = await openTemporaryBucket();
    try {
      const { access_key_id: key, secret_access_key: secret } = bucket.credentials;
      await tour({ files: bucket.url, env: { AWS_ACCESS_KEY_ID: key, AWS_SECRET_ACCESS_KEY: secret } });
    } finally {
      await bucket.close();
    }
  });

  async function tour({ files, env }: { files: string; env: Record<string, string> }): Promise<void> {
    const [places = '', commands = ''] = fences(GUIDE, 'sh');
    // The two addresses are what every reader replaces.
    const [, , ...others] = places.trim().split(/^export SHEAF_(?:DATABASE|FILES)='[^']*'$/m);
    expect(others.join('').trim(), 'nothing but the two places').toBe('');
    const script = commands
      .replaceAll('npx sheaf', 'sheaf')
      .replace(/^(sheaf up[^&\n]*)&.*$/m, `$1> up.log 2>&1 &\n${WAIT.up}`)
      .replace(/^(sheaf worker --[^&\n]*)&.*$/m, `$1> worker.log 2>&1 &\n${WAIT.worker}`);
    const { output, status } = await bash(script, {
      ...env,
      SHEAF_DATABASE: await postgres.database(),
      SHEAF_FILES: files,
    });
    expect(status, output).toBe(0);
    // The server works as well: two who are alive, then the batch.
    expect(output.match(/^\S+ +\d+\.\d+\.\d+ +default .*$/gm), output).toHaveLength(2);
    expect(output).toMatch(/completed completed=1000 failed=0/);
  }

  /** Runs a script; what it left running ends with it. */
  async function bash(script: string, env: Record<string, string>) {
    const child = spawn('bash', ['-c', `set -eo pipefail\n${script}`], {
      cwd: folder,
      env: {
        ...process.env,
        PATH: [join(ROOT, 'node_modules', '.bin'), process.env.PATH].join(delimiter),
        SHEAF_PORT: '0',
        NO_COLOR: '1',
        ...env,
      },
      // A group of its own, with what it starts in the background.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    const status = await new Promise<number | null>((resolve) => child.once('exit', resolve));
    try {
      process.kill(-(child.pid ?? 0), 'SIGKILL');
    } catch {
      // Nothing was left.
    }
    const logs = ['up.log', 'worker.log'].map((name) => readOr(join(folder, name)));
    return { output: [output, ...logs].join('\n'), status };
  }
});

function readOr(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
