import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Json } from '@sheaf/protocol';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createInlineRunner } from '../src/adapters/runner-inline/inline-runner.ts';
import type { Runner, RunResult } from '../src/ports/runner.ts';
import { type CommandDefinition, defineCommand } from '../src/processors/command/command.ts';
import { createMarkReader } from '../src/processors/command/mark-reader.ts';
import { errorOf, makeTask, resultOf, runTask } from '../src/testing/contracts/runner/scene.ts';
import { until } from '../src/testing/until.ts';

let runner: Runner;
let folder: string;
/** A program that prints its arguments as JSON, so that nothing is left to guess. */
let tell: string;

beforeAll(async () => {
  runner = createInlineRunner();
  folder = await mkdtemp(join(tmpdir(), 'sheaf-command-'));
  tell = join(folder, 'tell');
  await writeFile(tell, `#!${process.execPath}\nconsole.log(JSON.stringify(process.argv.slice(2)))\n`);
  await chmod(tell, 0o755);
});
afterAll(async () => {
  await runner.close();
  await rm(folder, { recursive: true, force: true });
});

type Fields = {
  name?: string;
  key?: string;
  input?: Json;
  path?: string;
  timeout_ms?: number;
  signal?: AbortSignal;
};

async function run(
  definition: Omit<CommandDefinition, 'name'>,
  { name, key, signal, ...fields }: Fields = {},
): Promise<RunResult> {
  const task = makeTask(defineCommand({ name: 'under-test', ...definition }), fields);
  const item = { ...task.item, name: name ?? task.item.name, key: key ?? null };
  return await runTask(runner, { ...task, item }, { signal: signal ?? null });
}

// Both ways to start a program must behave alike: by a launcher, and as a child of this process.
describe.each([{ leaves_processes: false }, { leaves_processes: true }])('command, %o', (how) => {
  test('fills placeholders in, whole arguments or parts of one', async () => {
    const argv = [
      tell,
      '{path}',
      '{name}',
      '{seq}',
      'key={key}',
      '{attempt}',
      '{input.size.width}x',
      '{input.list}',
      '{{name}}',
      '{ print $1 }',
      '',
    ];
    const input = { size: { width: 20 }, list: [1, 'a'] };
    expect(resultOf(await run({ argv, ...how }, { path: '/tmp/a file', key: 'k', input }))).toEqual([
      '/tmp/a file',
      'photo.jpg',
      '7',
      'key=k',
      '1',
      '20x',
      '[1,"a"]',
      '{name}',
      '{ print $1 }',
      '',
    ]);
  });

  test.each([
    '$(touch pwned)',
    '`id`',
    '; rm -rf /',
    'a b',
    "it's",
    '"',
    '\\',
    '*',
    '~',
    '$HOME',
    '| cat',
    'é ファイル 🏳️‍🌈',
    '-- x',
    'a\tb',
    '\\n',
    ' lead',
    'trail ',
    '%s',
  ])('hands %s on as it is', async (text) => {
    expect(
      resultOf(
        await run({ argv: [tell, '--', '{name}', 'x{input.text}'], ...how }, { name: text, input: { text } }),
      ),
    ).toEqual(['--', text, `x${text}`]);
  });

  test('hands line ends on, which no launcher can', async () => {
    expect(
      resultOf(await run({ argv: [tell, '{input.text}'], ...how }, { input: { text: 'two\nlines' } })),
    ).toEqual(['two\nlines']);
  });

  test('refuses data that would be taken for an option, unless -- stands before it', async () => {
    expect(errorOf(await run({ argv: [tell, '{name}'], ...how }, { name: '-rf' }))).toMatchObject({
      kind: 'permanent',
      code: 'bad_input',
    });
    expect(resultOf(await run({ argv: [tell, '--', '{name}'], ...how }, { name: '-rf' }))).toEqual([
      '--',
      '-rf',
    ]);
    expect(resultOf(await run({ argv: [tell, '--name={name}'], ...how }, { name: '-rf' }))).toEqual([
      '--name=-rf',
    ]);
  });

  test.each([
    ['{path}', /no file/],
    ['{key}', /no key/],
    ['{input.a.b}', /input does not have it/],
    ['{input.__proto__}', /input does not have it/],
  ])('fails for good when the item has no %s', async (placeholder, words) => {
    const error = errorOf(await run({ argv: [tell, placeholder], ...how }, { input: { a: 1 } }));
    expect(error).toMatchObject({ kind: 'permanent', code: 'missing_input' });
    expect(error.message).toMatch(words);
  });

  test('refuses a NUL character', async () => {
    expect(
      errorOf(await run({ argv: [tell, '{input.text}'], ...how }, { input: { text: 'a\0b' } })).code,
    ).toBe('bad_input');
  });

  test.each([
    ['{"a":1}\n', { a: 1 }],
    ['17\n', 17],
    ['two\nlines\n\n', 'two\nlines\n'],
    ['{not json', '{not json'],
    ['', null],
    ['\n', null],
    ['é', 'é'],
  ])('takes what is printed as the result: %j', async (printed, expected) => {
    expect(
      resultOf(await run({ argv: ['printf', '%s', '{input.text}'], ...how }, { input: { text: printed } })),
    ).toEqual(expected);
  });

  test('keeps standard error as the log', async () => {
    const { log } = await run({
      argv: ['sh', '-c', 'echo one >&2; printf "two\\r" >&2; printf three >&2'],
      ...how,
    });
    expect(log).toBe('one\ntwo\nthree');
  });

  test('fails with the exit code and the last words', async () => {
    const error = errorOf(
      await run({ argv: ['sh', '-c', 'for n in 1 2 3 4 5 6; do echo "line $n" >&2; done; exit 7'], ...how }),
    );
    expect(error).toMatchObject({ kind: 'retryable', code: 'exit_7' });
    expect(error.message).toContain('line 6');
    expect(error.message).not.toContain('line 1');
  });

  test('names the signal that killed the program', async () => {
    expect(errorOf(await run({ argv: ['sh', '-c', 'kill -SEGV $$'], ...how })).code).toBe(
      'killed_by_sigsegv',
    );
  });

  test('fails for good when there is no such program', async () => {
    for (const program of ['no-such-program', '/no/such/program', folder]) {
      expect(errorOf(await run({ argv: [program], ...how }))).toMatchObject({
        kind: 'permanent',
        code: 'program_missing',
      });
    }
  });

  test('keeps outputs by their names', async () => {
    const result = await run({
      argv: ['sh', '-c', 'pwd; echo thumb > "$1"', 'sh', '{output:thumb.png}'],
      ...how,
    });
    if (!result.ok) throw new Error(result.error.message);
    const [output] = result.outputs;
    expect(output?.name).toBe('thumb.png');
    expect(readFileSync(output?.path ?? '', 'utf8')).toBe('thumb\n');
    // It runs in its own folder, so that what it leaves beside goes with it.
    expect(output?.path.startsWith(String(resultOf(result)))).toBe(true);
  });

  test('fails when a promised output was not written', async () => {
    expect(errorOf(await run({ argv: ['true', '{output:a.txt}'], ...how })).code).toBe('output_missing');
  });

  test('feeds it the input or the file', async () => {
    const input = { text: "it's $HOME\n", list: [1] };
    expect(resultOf(await run({ argv: ['cat'], stdin: 'input', ...how }, { input }))).toEqual(input);
    expect(
      resultOf(await run({ argv: ['cat'], stdin: 'input', ...how }, { input: ['x'.repeat(60_000)] })),
    ).toEqual(['x'.repeat(60_000)]);
    const path = join(folder, 'a file');
    await writeFile(path, '"from the file"');
    expect(resultOf(await run({ argv: ['cat'], stdin: 'file', ...how }, { path }))).toBe('from the file');
    expect(resultOf(await run({ argv: ['cat'], ...how }))).toBeNull();
  });

  test('does not mind a program that reads nothing of what it is fed', async () => {
    expect(
      resultOf(await run({ argv: ['true'], stdin: 'input', ...how }, { input: ['x'.repeat(250_000)] })),
    ).toBeNull();
  });

  test('fails when more is printed than a result may hold, and drains it', async () => {
    const error = errorOf(await run({ argv: ['sh', '-c', 'head -c 5000000 /dev/zero'], ...how }));
    expect(error).toMatchObject({ code: 'bad_result' });
    expect(error.message).toContain('256 KiB');
  });

  test('shows it an allow-list of the environment and its item', async () => {
    process.env.SHEAF_TEST_SECRET = 'secret';
    const printed = String(resultOf(await run({ argv: ['env'], env: { GIVEN: 'yes' }, ...how })));
    delete process.env.SHEAF_TEST_SECRET;
    expect(printed).not.toContain('secret');
    expect(printed.split('\n')).toEqual(
      expect.arrayContaining([
        'GIVEN=yes',
        'SHEAF_SEQ=7',
        'SHEAF_ATTEMPT=1',
        'SHEAF_BATCH_ID=bat_00000000000000000000000001',
      ]),
    );
  });

  test('ends the program and what it has started at the timeout', async () => {
    const mark = join(folder, `pid-${how.leaves_processes}`);
    const script = `sleep 600 & echo $! > '${mark}'; wait`;
    // A busy machine may take longer than that to start it at all.
    for (let limit = 300; !existsSync(mark); limit *= 4) {
      const ended = await run({ argv: ['sh', '-c', script], ...how }, { timeout_ms: limit });
      expect(errorOf(ended).kind).toBe('timeout');
    }
    await until('the started program is gone', () => !isAlive(Number(readFileSync(mark, 'utf8'))));
  });

  test('kills a program that ignores SIGTERM, a grace later', async () => {
    const argv = ['sh', '-c', `trap '' TERM; while true; do sleep 0.05; done`];
    expect(errorOf(await run({ argv, grace_ms: 50, ...how }, { timeout_ms: 100 })).kind).toBe('timeout');
  });

  test('works on after an abort', async () => {
    const command = defineCommand({ name: 'reused', argv: ['sh', '-c', '{input.script}'], ...how });
    const go = (script: string, timeoutMs = 20_000) =>
      runTask(runner, makeTask(command, { input: { script }, timeout_ms: timeoutMs }));
    expect(resultOf(await go('echo 1'))).toBe(1);
    await Promise.all([go('sleep 600', 50), go('sleep 600', 50), go('echo 1')]);
    expect(resultOf(await go('echo 2'))).toBe(2);
  });

  test('keeps the runs of a command apart', async () => {
    const command = defineCommand({
      name: 'many',
      argv: ['sh', '-c', 'echo "{input.n} err" >&2; printf "%s" "$1"', 'sh', '{input.n}'],
      ...how,
    });
    const results = await Promise.all(
      Array.from({ length: 40 }, (_, n) => runTask(runner, makeTask(command, { input: { n } }))),
    );
    expect(results.map(resultOf)).toEqual(Array.from({ length: 40 }, (_, n) => n));
    expect(results.map(({ log }) => log)).toEqual(Array.from({ length: 40 }, (_, n) => `${n} err`));
  });
});

describe('command', () => {
  test('ends what a program leaves behind, where it says that it does', async () => {
    const mark = join(folder, 'left.pid');
    const script = `sleep 600 & echo $! > '${mark}'`;
    expect((await run({ argv: ['sh', '-c', script], leaves_processes: true })).ok).toBe(true);
    await until('the one left behind is gone', () => !isAlive(Number(readFileSync(mark, 'utf8'))));
  });

  test.each([
    [[], /needs a program/],
    [[''], /needs a program/],
    [['{name}'], /cannot come from an item/],
    [['{input.program}', 'x'], /cannot come from an item/],
    [['echo', '{nmae}'], /did you mean \{name\}/],
    [['echo', '{name.x}'], /no placeholder/],
    [['echo', '{output}'], /no placeholder/],
    [['echo', '{output:../x}'], /is a path/],
    [['echo', 'a\0b'], /NUL/],
    [['awk', '{print}'], /\{\{print\}\}/],
  ])('refuses %j when it is defined', (argv, words) => {
    expect(() => defineCommand({ name: 'bad', argv })).toThrow(words);
  });
});

describe('mark reader', () => {
  test('finds marks however the stream is cut', () => {
    const stream = Buffer.from('one\n\nMARK 0\n\nMARK 3\ntwo\nMAR\nMARK 255\n');
    for (let size = 1; size <= stream.length; size++) {
      let text = '';
      const runs: [string, number][] = [];
      const read = createMarkReader('MARK', {
        onBytes: (bytes) => {
          text += bytes.toString();
        },
        onEnd: (code) => {
          runs.push([text, code]);
          text = '';
        },
      });
      for (let at = 0; at < stream.length; at += size) read(stream.subarray(at, at + size));
      expect(runs).toEqual([
        ['one\n', 0],
        ['', 3],
        ['two\nMAR', 255],
      ]);
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
