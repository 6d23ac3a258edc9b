import { type ChildProcess, fork, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Network } from './network.ts';
import type { Command, Reply } from './one-process.ts';

const BIN = join(import.meta.dirname, '..', '..', 'bin', 'sheaf.js');

export type Ended = { code: number | null; stdout: string; stderr: string };

/** A process of the command line, watched while it runs. */
export type Running = {
  pid: number;
  stdout(): string;
  stderr(): string;
  kill(signal: NodeJS.Signals): void;
  ended: Promise<Ended>;
};

/** A folder of its own to run the command line in, with its data in it. */
export type Place = {
  dir: string;
  data: string;
  /** Runs a command to its end: in a process of its own, or in the one that runs them all. */
  sheaf(args: readonly string[], options?: RunOptions): Promise<Ended>;
  /** Starts a command that is still running afterwards. */
  start(args: readonly string[], options?: StartOptions): Running;
  /** Starts the server, and answers when it can be reached. */
  up(...args: string[]): Promise<Running & { url: string }>;
  /** Ends whatever still runs and removes the folder. */
  close(): Promise<void>;
};

export type RunOptions = { env?: Record<string, string>; input?: string; cwd?: string };

/** @default network the machine's own */
type StartOptions = RunOptions & { network?: Network | undefined };

/**
 * The tests of processes (`vitest.config.ts` tells them) run each command in one of its own. The quick
 * ones run those that end by themselves one after the other in one process, in a tenth of the time.
 */
const isEachInItsProcess = process.env.TEST_EACH_IN_ITS_PROCESS === '1';

export function makePlace(): Place {
  const dir = mkdtempSync(join(tmpdir(), 'sheaf-cli-'));
  const data = join(dir, 'sheaf-data');
  const running = new Set<Running>();
  const start = (args: readonly string[], options: StartOptions = {}) => {
    const process = launch(args, { cwd: options.cwd ?? dir, ...options });
    running.add(process);
    void process.ended.then(() => running.delete(process));
    return process;
  };
  const shell = isEachInItsProcess ? null : startShell(dir);
  return {
    dir,
    data,
    start,
    sheaf: (args, options) => (shell === null ? start(args, options).ended : shell.run(args, options)),
    async up(...args) {
      const server = start(['up', '--port', '0', ...args]);
      await until(
        () => existsSync(join(data, 'server.json')),
        () => server.stderr(),
      );
      const { url } = JSON.parse(readFileSync(join(data, 'server.json'), 'utf8')) as { url: string };
      return { ...server, url };
    },
    async close() {
      await shell?.close();
      for (const process of running) process.kill('SIGKILL');
      await Promise.all([...running].map(({ ended }) => ended));
      // A child of a killed process may still be writing its last.
      rmSync(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    },
  };
}

function launch(args: readonly string[], { env, input, cwd, network }: StartOptions): Running {
  const command = { program: process.execPath, args: [BIN, ...args] };
  const { program, args: words } = network?.inside(command.program, command.args) ?? command;
  const child = spawn(program, words, {
    cwd,
    env: environment(env),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.on('error', () => undefined); // a command that reads nothing closes it
  child.stdin.end(input ?? '');
  return watch(child);
}

/** What a command may know of the machine, whatever shell runs the tests. */
function environment(env: Record<string, string> = {}): Record<string, string> {
  const { PATH = '', HOME = '' } = process.env;
  return { PATH, HOME, LANG: 'C.UTF-8', ...env };
}

/** The process that runs commands one after the other. */
function startShell(dir: string) {
  const child = fork(join(import.meta.dirname, 'one-process.ts'), {
    cwd: dir,
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const { ended } = watch(child);
  const waiting = new Map<number, { resolve: (ended: Ended) => void; reject: (error: Error) => void }>();
  let last = 0;
  child.on('message', ({ id, ...reply }: Reply) => {
    waiting.get(id)?.resolve(reply);
    waiting.delete(id);
  });
  void ended.then(({ code, stderr }) => {
    for (const { reject } of waiting.values())
      reject(new Error(`The commands' process ended (${code}): ${stderr}`));
    waiting.clear();
  });
  return {
    run(args: readonly string[], { env, input = '', cwd = dir }: RunOptions = {}): Promise<Ended> {
      last += 1;
      const command: Command = { id: last, args, env: environment(env), input, cwd };
      const { promise, resolve, reject } = Promise.withResolvers<Ended>();
      waiting.set(command.id, { resolve, reject });
      child.send(command);
      return promise;
    },
    async close() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Collects what a process says. */
export function watch(child: ChildProcess): Running {
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return {
    pid: child.pid ?? 0,
    stdout: () => stdout,
    stderr: () => stderr,
    kill: (signal) => void child.kill(signal),
    ended: new Promise((resolve) => {
      child.on('close', (code) => resolve({ code, stdout, stderr }));
    }),
  };
}

/** Waits for a condition, at most `limitMs`; what is known by then goes into the error. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  facts: () => unknown = () => '',
  limitMs = 15_000,
): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${limitMs} ms: ${condition} ${facts()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Replaces what differs from run to run: times, ids, rates, places. */
export function masked(text: string): string {
  return text
    .replace(/\b\d\d:\d\d:\d\d\b/g, 'HH:MM:SS')
    .replace(/bat_[0-9a-z]{6,26}/g, 'bat_ID')
    .replace(/\b\d+(?:\.\d+)? ?(?:ms|s|m \d\d s)\b/g, 'TIME')
    .replace(/rate=\S+/g, 'rate=RATE')
    .replace(/ eta=\S+/g, '')
    .replace(/ rate=RATE/g, '');
}
