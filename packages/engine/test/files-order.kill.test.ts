import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

const traces =
  spawnSync('strace', ['-qq', '-y', '-e', 'trace=fsync', 'true'], { stdio: 'ignore' }).status === 0;
if (!traces) console.warn('The order of fsyncs is not tested: there is no strace here, or it may not trace.');

const COUNT = 120;
const SPACES = COUNT / 8;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sheaf-disk-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe.skipIf(!traces)('Files: disk', () => {
  test('says of no bytes that they are stored before file, folder and the names above are on disk', async () => {
    const calls = await trace(join(folder, 'files'), 8);
    const said = calls.filter(({ name, path }) => name === 'write' && /^[0-9a-f]{64}$/.test(path));
    expect(said).toHaveLength(COUNT);
    for (const { path: sha256, from: told } of said) {
      const renamed = calls.find(({ name, target }) => name === 'rename' && target.endsWith(sha256));
      if (renamed === undefined) throw new Error(`${sha256} was never put in its place.`);
      expect(isSynced(renamed.path, 0, renamed.from), 'the file').toBe(true);
      // Its name in its folder, and so on up to the folder that was there before.
      let path = renamed.target;
      for (let since = renamed.to; path !== folder; path = dirname(path)) {
        expect(isSynced(dirname(path), since, told), `the name of ${path}`).toBe(true);
        const made = calls.find(({ name, path: made }) => name === 'mkdir' && made === dirname(path));
        since = made?.to ?? 0;
      }
    }

    function isSynced(path: string, since: number, until: number): boolean {
      return calls.some(
        (call) => call.name === 'fsync' && call.path === path && call.from > since && call.to < until,
      );
    }
  });

  test('costs few calls a file', async () => {
    const calls = await trace(join(folder, 'files'), 1);
    const count = (wanted: string) => calls.filter(({ name }) => name === wanted).length;
    // The file and its folder; once, the folders above: of each space, and the root's.
    expect(count('fsync')).toBeLessThanOrEqual(2 * COUNT + 2 * SPACES + 1);
    // The file, which the program itself opens once to write every second one; and its folder.
    expect(count('openat')).toBeLessThanOrEqual(2.5 * COUNT + 2 * SPACES + 5);
  });
});

/** A call of the system, from the line where it began to the line where it ended. */
type Call = { name: string; path: string; target: string; from: number; to: number; ok: boolean };

async function trace(root: string, width: number): Promise<Call[]> {
  const log = join(folder, 'trace');
  const program = join(import.meta.dirname, 'fixtures', 'store-some.ts');
  const wanted = 'trace=fsync,rename,mkdir,openat,write';
  const command = ['-f', '-qq', '-y', '-s', '200', '-e', wanted, '-o', log, process.execPath, program];
  const { status } = spawnSync('strace', [...command, root, String(COUNT), String(width)]);
  expect(status).toBe(0);
  return readCalls(await readFile(log, 'utf8'), dirname(root));
}

function readCalls(log: string, within: string): Call[] {
  const calls: Call[] = [];
  const underWay = new Map<string, Call>();
  for (const [line, text] of log.split('\n').entries()) {
    const [, thread = '', rest = ''] = /^(\d+) +(.*)$/.exec(text) ?? [];
    const resumed = underWay.get(thread);
    if (rest.startsWith('<... ') && resumed !== undefined) {
      resumed.to = line;
      resumed.ok = isGood(rest);
      underWay.delete(thread);
      continue;
    }
    const [, name = '', words = ''] = /^(\w+)\((.*)/.exec(rest) ?? [];
    const call = { name, ...namesOf(name, words), from: line, to: line, ok: isGood(rest) };
    if (!call.path.startsWith(within) && !call.target.startsWith(within) && name !== 'write') continue;
    calls.push(call);
    if (rest.endsWith('<unfinished ...>')) {
      call.to = Number.POSITIVE_INFINITY;
      underWay.set(thread, call);
    }
  }
  return calls.filter(({ ok }) => ok);
}

function isGood(answer: string): boolean {
  return !/ = -1 [A-Z]/.test(answer);
}

function namesOf(name: string, words: string): { path: string; target: string } {
  const [path = '', target = ''] = [...words.matchAll(/"([^"]*)"/g)].map(([, word = '']) => word);
  if (name === 'fsync') return { path: /<([^>]*)>/.exec(words)?.[1] ?? '', target: '' };
  return { path: path.replace('\\n', ''), target };
}
