import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { HAS_GROUPS, signalGroup } from '../../adapters/process-group.ts';
import { permanent } from '../../define-processor.ts';
import { createLineSplitter } from '../../domain/line-splitter.ts';
import type { Reaper } from './reaper.ts';

export type ProgramRun = {
  program: string;
  args: readonly string[];
  cwd: string;
  env: Readonly<Record<string, string>>;
  /** Text for its standard input, a file to read it from, or nothing. */
  stdin: { text: string } | { path: string } | null;
  grace_ms: number;
  max_stdout_bytes: number;
};

/** How a program ended. */
export type ProgramEnd = { code: number | null; signal: string | null; stdout: Buffer; isCut: boolean };

/**
 * Runs a program in a process group of its own, without a shell. Resolves when it has ended and with
 * it all it started; an abort sends SIGTERM, and SIGKILL after the grace.
 *
 * @throws A permanent `program_missing` when there is no such program, `bad_input` when the system
 *   refuses its arguments.
 */
export function runProgram(
  run: ProgramRun,
  {
    signal,
    reaper,
    onErrorLine,
  }: { signal: AbortSignal; reaper: Reaper; onErrorLine: (line: string) => void },
): Promise<ProgramEnd> {
  return new Promise((resolve, reject) => {
    const child = start(run);
    const { pid } = child;
    if (pid !== undefined) reaper.watch(pid);
    const stdout = collect(child, run.max_stdout_bytes);
    const errorLines = createLineSplitter(onErrorLine);
    child.stderr?.on('data', (chunk: Buffer) => errorLines.write(chunk));

    let timer: NodeJS.Timeout | null = null;
    const onAbort = () => {
      if (pid === undefined) return;
      signalGroup(pid, 'SIGTERM');
      timer = setTimeout(() => signalGroup(pid, 'SIGKILL'), run.grace_ms);
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });

    child.on('error', (error) => {
      // Without a pid it never ran, and no other event comes.
      if (pid === undefined) reject(startProblem(error, run));
    });
    child.on('exit', () => {
      // What it left behind would hold the pipes, and go on after the item.
      if (pid !== undefined) signalGroup(pid, 'SIGKILL');
    });
    child.on('close', (code, endSignal) => {
      if (timer !== null) clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      if (pid !== undefined) reaper.forget(pid);
      errorLines.flush();
      resolve({ code, signal: endSignal, stdout: Buffer.concat(stdout.chunks), isCut: stdout.isCut });
    });
  });
}

function start({ program, args, cwd, env, stdin }: ProgramRun): ChildProcess {
  const input = stdin !== null && 'path' in stdin ? openSync(stdin.path, 'r') : null;
  try {
    const child = spawn(program, args, {
      cwd,
      env,
      shell: false,
      detached: HAS_GROUPS,
      windowsHide: true,
      stdio: [input ?? (stdin === null ? 'ignore' : 'pipe'), 'pipe', 'pipe'],
    });
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

function collect(child: ChildProcess, maxBytes: number): { chunks: Buffer[]; isCut: boolean } {
  const kept = { chunks: [] as Buffer[], isCut: false };
  let bytes = 0;
  child.stdout?.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    // What is over the limit is read and dropped, so that the program can end.
    if (bytes <= maxBytes) kept.chunks.push(chunk);
    else kept.isCut = true;
  });
  return kept;
}

function startProblem(error: Error, { program, cwd }: ProgramRun): Error {
  const code = 'code' in error ? error.code : null;
  if (code === 'ENOENT') {
    return permanent(
      `There is no program "${program}" (or no folder ${cwd}). Install it, or give its full path.`,
      'program_missing',
    );
  }
  if (code === 'EACCES') return permanent(`The program "${program}" may not be run.`, 'program_missing');
  if (code === 'E2BIG') return permanent('The arguments are longer than the system allows.', 'bad_input');
  return error;
}
