import { type ChildProcess, fork } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createLineSplitter } from '../../domain/line-splitter.ts';
import { childEnvironment, HAS_GROUPS, signalGroup } from '../process-group.ts';
import { ALLOCATION } from './allocation.ts';
import { BEGUN_BYTES, isRecord, type ParentMessage } from './messages.ts';

/** Enough to recognise why a process ended; the attempt's log has the rest. */
const MAX_TAIL = 4_096;
/** How long the last output of a dead child is waited for: something it started may hold the pipe. */
const LAST_OUTPUT_MS = 500;

/** `begun`: the id of the item of a row that it began last, null when it noted none. */
export type Death = { code: number | null; signal: string | null; tail: string; begun: number | null };

/** One child process, as the pool handles it. */
export type Child = {
  pid: number;
  /** Whether it can note what it begins, so that it may have several items at once. */
  takesRows: boolean;
  /** False as soon as it is known to be dead, which is before `onDeath`. */
  isAlive(): boolean;
  send(message: ParentMessage): void;
  /** Kills it and all it started. Its `onDeath` follows. */
  kill(): void;
};

export type ChildListeners = {
  onMessage(message: Record<string, unknown>): void;
  /** A line from outside of JavaScript: native code, or a program the item started. */
  onLine(line: string): void;
  /** Called once, when it is dead and its last output was read. */
  onDeath(death: Death): void;
};

/** Starts a child that waits for work. It never throws: a child that cannot start dies at once. */
export function startChild(
  options: { env: Readonly<Record<string, string>>; exec_argv: readonly string[] },
  listeners: ChildListeners,
): Child {
  const file = import.meta.url.endsWith('.ts') ? './child.ts' : './child.js';
  const note = openNote();
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), [String(process.pid)], {
    // The budget keeps V8 from crashing where threads share WebAssembly wrappers (the watchdog is one).
    execArgv: [
      '--disable-proto=delete',
      '--wasm-wrapper-tiering-budget=1000000000',
      ...conditions(),
      ...options.exec_argv,
    ],
    env: { ...ALLOCATION, ...compileCache(), ...childEnvironment(options.env) },
    // Its own group, so that what it started can be killed with it.
    detached: HAS_GROUPS,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc', note ?? 'ignore'],
  });
  const tail = listen(child, listeners);
  return {
    pid: child.pid ?? 0,
    takesRows: note !== null,
    isAlive: () => child.connected,
    send(message) {
      // Without a callback a message to a child that just died would throw; its death tells enough.
      child.send(message, () => undefined);
    },
    kill() {
      if (child.pid !== undefined) signalGroup(child.pid, 'SIGKILL');
    },
  };

  function listen(from: ChildProcess, { onMessage, onLine, onDeath }: ChildListeners): { text: string } {
    const seen = { text: '' };
    const splitters = [from.stdout, from.stderr].map((stream) => {
      const splitter = createLineSplitter(onLine);
      stream?.on('data', (chunk: Buffer) => {
        seen.text = (seen.text + chunk.toString('latin1')).slice(-MAX_TAIL);
        splitter.write(chunk);
      });
      return splitter;
    });
    let isDead = false;
    const die = (code: number | null, signal: string | null) => {
      if (isDead) return;
      isDead = true;
      for (const splitter of splitters) splitter.flush();
      onDeath({ code, signal, tail: tail.text, begun: note === null ? null : readNote(note) });
    };
    from.on('message', (message) => {
      if (isRecord(message)) onMessage(message);
    });
    from.on('error', (error) => {
      if (from.pid !== undefined) return;
      seen.text = error.message;
      setImmediate(die, null, null);
    });
    from.on('exit', (code, signal) => {
      // What it started dies with it, and lets go of its pipes.
      if (from.pid !== undefined) signalGroup(from.pid, 'SIGKILL');
      setTimeout(die, LAST_OUTPUT_MS, code, signal).unref();
    });
    from.on('close', die);
    return seen;
  }
}

/** A file without a name that outlives the child, never goes to disk and costs it a microsecond to write. */
function openNote(): number | null {
  try {
    const folder = mkdtempSync(join(tmpdir(), 'sheaf-child-'));
    try {
      return openSync(join(folder, 'begun'), 'w+');
    } finally {
      rmSync(folder, { recursive: true });
    }
  } catch {
    return null;
  }
}

function readNote(note: number): number | null {
  const bytes = Buffer.alloc(BEGUN_BYTES);
  try {
    return readSync(note, bytes, 0, BEGUN_BYTES, 0) === BEGUN_BYTES ? bytes.readDoubleLE() : null;
  } finally {
    closeSync(note);
  }
}

/** Where Node keeps what it compiled, if it does: a child then starts in half the time. */
function compileCache(): Record<string, string> {
  const { NODE_COMPILE_CACHE: folder } = process.env;
  return folder === undefined ? {} : { NODE_COMPILE_CACHE: folder };
}

/** `--conditions` of this process hold for the child too, else it would resolve other files. */
function conditions(): string[] {
  return process.execArgv.filter((argument, index, all) => {
    return /^(?:-C|--conditions)(?:=|$)/.test(argument) || /^(?:-C|--conditions)$/.test(all[index - 1] ?? '');
  });
}
