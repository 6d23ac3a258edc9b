import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { HAS_GROUPS, signalGroup } from '../../adapters/process-group.ts';
import { permanent } from '../../define-processor.ts';
import { createLineSplitter } from '../../domain/line-splitter.ts';
import type { Reaper } from './reaper.ts';
import { hasShell, startShell } from './shell.ts';

/** One run of a program for one item. */
export type ProgramRun = {
  /** A path, so that it names no builtin of any shell. */
  program: string;
  args: readonly string[];
  cwd: string;
  item: { batch_id: string; seq: number; attempt: number };
  /** Text for its standard input, a file to read it from, or nothing. */
  stdin: { text: string } | { path: string } | null;
  signal: AbortSignal;
  onErrorLine: (line: string) => void;
};

/** What all runs of one command share. */
export type ProgramSurroundings = {
  env: Readonly<Record<string, string>>;
  grace_ms: number;
  max_stdout_bytes: number;
  reaper: Reaper;
};

/** How a program ended. */
export type ProgramEnd = { code: number | null; signal: string | null; stdout: Buffer; isCut: boolean };

/**
 * Runs a program as a child of this process, in a process group of its own. Resolves when it has
 * ended, and ends with it all it started; an abort sends SIGTERM, and SIGKILL after the grace.
 *
 * Starting a child copies the page tables of this process: 1–5 ms during which nothing else runs.
 *
 * @throws A permanent `bad_input` when the system refuses the arguments.
 */
export function runDirectly(run: ProgramRun, surroundings: ProgramSurroundings): Promise<ProgramEnd> {
  return new Promise((resolve, reject) => {
    const child = start(run, surroundings.env);
    const { pid } = child;
    const stdout = createStdoutKeeper(surroundings.max_stdout_bytes);
    const errorLines = createLineSplitter(run.onErrorLine);
    child.stdout?.on('data', stdout.write);
    child.stderr?.on('data', errorLines.write);
    child.on('error', (error) => {
      // Without a pid it never ran, and no other event comes.
      if (pid === undefined) reject(startProblem(error));
    });
    if (pid === undefined) return;

    surroundings.reaper.watch(pid);
    openGate(child);
    const calm = endOnAbort(run.signal, pid, surroundings.grace_ms);
    // What it left behind would hold the pipes, and go on after the item.
    child.on('exit', () => signalGroup(pid, 'SIGKILL'));
    child.on('close', (code, signal) => {
      calm();
      surroundings.reaper.forget(pid);
      errorLines.flush();
      resolve({ code, signal, ...stdout.end() });
    });
  });
}

/** Sends SIGTERM to a group on abort, and SIGKILL after the grace. The answer ends the watch. */
export function endOnAbort(signal: AbortSignal, group: number, graceMs: number): () => void {
  let timer: NodeJS.Timeout | null = null;
  const onAbort = () => {
    signalGroup(group, 'SIGTERM');
    timer = setTimeout(() => signalGroup(group, 'SIGKILL'), graceMs);
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  return () => {
    if (timer !== null) clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  };
}

/** Keeps what a program prints, up to a limit. What is over is read and dropped, so that it can end. */
export function createStdoutKeeper(maxBytes: number): {
  write(chunk: Buffer): void;
  end(): { stdout: Buffer; isCut: boolean };
} {
  const chunks: Buffer[] = [];
  let bytes = 0;
  return {
    write(chunk) {
      bytes += chunk.length;
      if (bytes <= maxBytes) chunks.push(chunk);
    },
    end: () => ({ stdout: Buffer.concat(chunks), isCut: bytes > maxBytes }),
  };
}

/** The variables that tell a program which item it works on. */
function itemVariables({ batch_id, seq, attempt }: ProgramRun['item']): Record<string, string> {
  return { SHEAF_BATCH_ID: batch_id, SHEAF_SEQ: String(seq), SHEAF_ATTEMPT: String(attempt) };
}

function start(
  { program, args, cwd, item, stdin }: ProgramRun,
  env: Readonly<Record<string, string>>,
): ChildProcess {
  const input = stdin !== null && 'path' in stdin ? openSync(stdin.path, 'r') : null;
  try {
    const options = {
      cwd,
      env: { ...env, ...itemVariables(item) },
      shell: false,
      detached: HAS_GROUPS,
      windowsHide: true,
      stdio: [input ?? (stdin === null ? 'ignore' : 'pipe'), 'pipe', 'pipe', 'pipe'] as StdioOptions,
    };
    const child = hasShell() ? startShell(GATE, [program, ...args], options) : spawn(program, args, options);
    if (stdin !== null && 'text' in stdin) {
      // A program need not read what it is given.
      child.stdin?.on('error', () => undefined);
      child.stdin?.end(stdin.text);
    }
    return child;
  } finally {
    if (input !== null) closeSync(input);
  }
}

/**
 * Becomes the program when it is told to, and ends when nobody is left to tell: a server that is
 * killed between the start and the reaper's note leaves no program behind.
 */
const GATE = 'read -r go <&3 && exec "$@" 3<&-';

function openGate(child: ChildProcess): void {
  const gate = child.stdio[3];
  if (gate === null || gate === undefined || !('end' in gate)) return;
  gate.on('error', () => undefined);
  gate.end('go\n');
}

function startProblem(error: Error): Error {
  const code = 'code' in error ? error.code : null;
  return code === 'E2BIG'
    ? permanent('The arguments are longer than the system allows.', 'bad_input')
    : error;
}
