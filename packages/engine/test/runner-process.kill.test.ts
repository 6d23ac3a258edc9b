import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  createProcessRunner,
  type ProcessRunnerOptions,
} from '../src/adapters/runner-process/process-runner.ts';
import type { Runner } from '../src/ports/runner.ts';
import {
  errorOf,
  makeTask,
  resultOf,
  runTask,
  type TaskFields,
} from '../src/testing/contracts/runner/scene.ts';
import { until } from '../src/testing/until.ts';
import { type Deed, dangerous } from './fixtures/dangerous.ts';

const runners: Runner[] = [];
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sheaf-kill-'));
});
afterEach(async () => {
  await Promise.all(runners.splice(0).map((runner) => runner.close()));
  await rm(folder, { recursive: true, force: true });
});

function open(options: Partial<ProcessRunnerOptions> = {}): Runner {
  const runner = createProcessRunner({ max_children: 2, grace_ms: 150, ...options });
  runners.push(runner);
  return runner;
}

function task(deed: Deed, fields: TaskFields & { memory?: number } = {}) {
  const { memory = 1_073_741_824, ...rest } = fields;
  return makeTask({ ...dangerous, max_memory_bytes: memory }, { ...rest, input: { do: deed, folder } });
}

describe('a child that dies', () => {
  test.each<[Deed, RegExp]>([
    ['exit', /exit code 0/],
    ['exit_with_code', /exit code 3/],
    ['segfault', /SIGSEGV/],
    ['kill_itself', /SIGKILL/],
    ['abort', /SIGABRT/],
  ])('fails its item as crashed and no other: %s', async (deed, words) => {
    const runner = open();
    const [died, lived] = await Promise.all([runTask(runner, task(deed)), runTask(runner, task('pid'))]);
    expect(errorOf(died)).toMatchObject({ kind: 'retryable', code: 'crashed' });
    expect(errorOf(died).message).toMatch(words);
    expect(resultOf(lived)).toBeTypeOf('number');
    expect(resultOf(await runTask(runner, task('pid')))).toBeTypeOf('number');
  });

  test('keeps what the item said last', async () => {
    const { log } = await runTask(open(), task('say_and_crash'));
    expect(log).toContain('the last word');
    expect(log).toContain('printed');
    expect(log).toContain('from a program');
  });

  test('leaves nothing in the folder of its outputs', async () => {
    const dying = task('output_and_crash');
    await runTask(open(), dying);
    expect(existsSync(dying.work_dir)).toBe(false);
  });

  test('takes all it has started along', async () => {
    await runTask(open(), task('start_others_and_crash'));
    const pid = Number(readFileSync(join(folder, 'other.pid'), 'utf8'));
    await until('the other program is gone', () => !isAlive(pid));
  });
});

describe('a child that does not stop', () => {
  test('is killed a grace after its timeout, in the tightest loop', async () => {
    const runner = open();
    const started = performance.now();
    const looped = await runTask(runner, task('loop', { timeout_ms: 100 }));
    expect(errorOf(looped).kind).toBe('timeout');
    expect(looped.log).toContain('before the loop');
    expect(performance.now() - started).toBeLessThan(5_000);
    expect(resultOf(await runTask(runner, task('pid')))).toBeTypeOf('number');
  });

  test('is killed a grace after an abort', async () => {
    const abort = new AbortController();
    const running = runTask(open(), task('loop'), { signal: abort.signal, onNews: () => abort.abort() });
    expect(errorOf(await running).kind).toBe('cancelled');
  });

  test('is killed at once when the runner is closed', async () => {
    const runner = open({ grace_ms: 60_000 });
    let isLooping = false;
    const running = runTask(runner, task('loop'), { onNews: () => (isLooping = true) });
    await until('it loops', () => isLooping);
    await runner.close();
    expect(errorOf(await running).kind).toBe('cancelled');
  });
});

describe('a child that takes too much memory', () => {
  const HalfAGigabyte = 500_000_000;

  test.runIf(process.platform === 'linux').each<Deed>(['fill_buffers', 'fill_by_a_program'])(
    'is killed as out_of_memory: %s',
    async (deed) => {
      expect(errorOf(await runTask(open(), task(deed, { memory: HalfAGigabyte })))).toMatchObject({
        kind: 'retryable',
        code: 'out_of_memory',
      });
    },
  );

  test('reads out_of_memory when the JavaScript heap is full', async () => {
    const runner = open({ exec_argv: ['--max-old-space-size=60'] });
    expect(errorOf(await runTask(runner, task('fill_heap'))).code).toBe('out_of_memory');
  });

  test('is replaced between two items when it has grown', async () => {
    const runner = open({ max_children: 1 });
    const first = resultOf(await runTask(runner, task('grow', { memory: HalfAGigabyte })));
    const second = resultOf(await runTask(runner, task('pid', { memory: HalfAGigabyte })));
    expect(second).not.toBe(first);
  });
});

describe('errors outside of any item', () => {
  test('fail the item that runs and replace the child: a promise nobody awaits', async () => {
    const runner = open({ max_children: 1 });
    expect(errorOf(await runTask(runner, task('stray_rejection')))).toMatchObject({
      code: 'error',
      message: 'nobody awaits me',
    });
    expect(resultOf(await runTask(runner, task('pid')))).toBeTypeOf('number');
  });

  test('never fail the next item: a timer that throws after the item has ended', async () => {
    const runner = open({ max_children: 1 });
    for (let round = 0; round < 8; round++) {
      expect(resultOf(await runTask(runner, task('throw_later')))).toBe('well');
      expect(resultOf(await runTask(runner, task('pid')))).toBeTypeOf('number');
    }
  });
});

describe('children', () => {
  test('serve many items each, and several at a time', async () => {
    const runner = open();
    const pids = await Promise.all(
      Array.from({ length: 50 }, async () => resultOf(await runTask(runner, task('pid')))),
    );
    expect(new Set(pids).size).toBe(2);
  });

  test('are replaced after many items', async () => {
    const runner = open({ max_children: 1, max_items_per_child: 10, min_child_age_ms: 0 });
    const first = resultOf(await runTask(runner, task('pid')));
    await until('another child serves', async () => resultOf(await runTask(runner, task('pid'))) !== first);
  });

  test('see an allow-list of the environment, and what the operator adds', async () => {
    process.env.SHEAF_TEST_SECRET = 'secret';
    const env = { GIVEN: 'yes', MALLOC_TRIM_THRESHOLD_: '0' };
    const environment = resultOf(await runTask(open({ env }), task('environment')));
    delete process.env.SHEAF_TEST_SECRET;
    expect(environment).toMatchObject({ ...env, PATH: process.env.PATH });
    // What the child itself was started with, programs of its items do not inherit.
    expect(environment).not.toHaveProperty('MALLOC_ARENA_MAX');
    expect(environment).not.toHaveProperty('SHEAF_TEST_SECRET');
  });

  test('give every item the same working folder', async () => {
    const runner = open({ max_children: 1 });
    const first = resultOf(await runTask(runner, task('change_folder')));
    expect(resultOf(await runTask(runner, task('change_folder')))).toBe(first);
  });

  test('have no way to speak for us', async () => {
    expect(errorOf(await runTask(open(), task('send_messages'))).message).toMatch(/send/);
  });

  test('cut what they print at 256 KiB, without a line end too', async () => {
    const { ok, log } = await runTask(open(), task('print_much'));
    expect(ok).toBe(true);
    expect(log?.length).toBeLessThanOrEqual(262_144);
    expect(log).toContain('was cut here');
  });

  test('fail their items as bad_processor when the module cannot be loaded', async () => {
    const broken = join(folder, 'broken.ts');
    await writeFile(broken, 'export const x = ;');
    const runner = open();
    const module = pathToFileURL(broken).href;
    const unloadable = errorOf(await runTask(runner, makeTask({ ...dangerous, module })));
    expect(unloadable).toMatchObject({ kind: 'retryable', code: 'bad_processor' });
    const unknown = errorOf(await runTask(runner, makeTask({ ...dangerous, name: 'unknown' })));
    expect(unknown).toMatchObject({ code: 'bad_processor' });
    expect(errorOf(await runTask(runner, makeTask({ ...dangerous, module: null }))).kind).toBe('permanent');
    expect(resultOf(await runTask(runner, task('pid')))).toBeTypeOf('number');
  });

  test('end when they have nothing to do for a while', async () => {
    const runner = open({ idle_ms: 10, spare: 0 });
    const pid = resultOf(await runTask(runner, task('pid'))) as number;
    await until('the idle child is gone', () => !isAlive(pid));
  });
});

describe('when the parent is killed', () => {
  let parent: ChildProcess;
  afterEach(() => parent.kill('SIGKILL'));

  test.each<Deed>(['loop', 'wait'])('its children die with it: %s', async (deed) => {
    const script = join(import.meta.dirname, 'fixtures', 'run-and-wait.ts');
    parent = spawn(process.execPath, [script, deed, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    parent.stdout?.on('data', (chunk) => (said += chunk));
    await until('the item runs', () => said.includes('running'), { limit_ms: 20_000 });
    const pid = Number(readFileSync(join(folder, 'child.pid'), 'utf8'));
    expect(isAlive(pid)).toBe(true);
    parent.kill('SIGKILL');
    await until('the child is gone', () => !isAlive(pid));
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // A zombie that nobody has reaped is dead all the same.
  const state = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'latin1') : '';
  return !/\) Z /.test(state);
}
