import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { constants } from 'node:os';
import { signalGroup } from '../../adapters/process-group.ts';
import { createLineSplitter } from '../../domain/line-splitter.ts';
import { createMarkReader } from './mark-reader.ts';
import {
  createStdoutKeeper,
  endOnAbort,
  type ProgramEnd,
  type ProgramRun,
  type ProgramSurroundings,
} from './program.ts';
import { hasShell, startShell } from './shell.ts';

/**
 * Runs one program after the other, as told by its standard input: lines of data that are only ever
 * values (`"$@"`), never text to be read as a command. The program is a path, so it is no builtin.
 *
 * Per run: the item, the folder, the input (a path, or JSON, which never begins with a slash), the
 * number of arguments, and each of them on a line.
 */
const SCRIPT = `
IFS= read -r mark
export SHEAF_BATCH_ID SHEAF_SEQ SHEAF_ATTEMPT
while read -r SHEAF_BATCH_ID SHEAF_SEQ SHEAF_ATTEMPT; do
  IFS= read -r folder
  IFS= read -r input
  IFS= read -r left
  set --
  while [ "$left" -gt 0 ]; do
    IFS= read -r argument
    set -- "$@" "$argument"
    left=$((left - 1))
  done
  cd "$folder" && case $input in
    /*) "$@" <"$input" ;;
    *) printf '%s' "$input" | "$@" ;;
  esac
  code=$?
  printf '\\n%s %s\\n' "$mark" "$code"
  printf '\\n%s %s\\n' "$mark" "$code" >&2
done
`;

/** A launcher reads its lines byte by byte, so much text is quicker through a child of our own. */
const MAX_TEXT = 16_384;
const IDLE_MS = 30_000;

type Launcher = { run(run: ProgramRun): Promise<ProgramEnd>; end(): void; isAlive(): boolean };

/**
 * Small shells, kept warm, that start the programs of one command: a shell of a megabyte forks in a
 * fraction of the time this process needs, and this process is not stopped meanwhile. Measured with
 * tiny programs: five times as many a second.
 */
export function createLaunchers(surroundings: ProgramSurroundings): {
  /** Whether this run can go through a launcher; else run it directly. */
  takes(run: ProgramRun): boolean;
  run(run: ProgramRun): Promise<ProgramEnd>;
} {
  const idle: Launcher[] = [];
  const isUsable = hasShell();
  let isSweepDue = false;

  return {
    takes: (run) => isUsable && canTell(run),
    async run(run) {
      const launcher = takeIdle() ?? startLauncher(surroundings);
      const ended = await launcher.run(run);
      if (launcher.isAlive()) {
        idle.push(launcher);
        sweepLater();
      }
      return ended;
    },
  };

  function takeIdle(): Launcher | undefined {
    for (;;) {
      // The last one used: those that are not needed any more come to lie at the front.
      const launcher = idle.pop();
      if (launcher === undefined || launcher.isAlive()) return launcher;
    }
  }

  /** Ends half of those that nobody needed for a while, and the rest a while later. */
  function sweepLater(): void {
    if (isSweepDue) return;
    isSweepDue = true;
    setTimeout(() => {
      isSweepDue = false;
      for (const launcher of idle.splice(0, Math.ceil(idle.length / 2))) launcher.end();
      if (idle.length > 0) sweepLater();
    }, IDLE_MS).unref();
  }
}

/** Lines cannot hold line ends; the direct way can. */
function canTell({ program, args, cwd, stdin }: ProgramRun): boolean {
  const input = inputLine(stdin);
  const length = args.reduce((sum, argument) => sum + argument.length, input.length);
  return length <= MAX_TEXT && ![program, cwd, input, ...args].some((text) => text.includes('\n'));
}

function inputLine(stdin: ProgramRun['stdin']): string {
  if (stdin === null) return '/dev/null';
  return 'path' in stdin ? stdin.path : stdin.text;
}

function startLauncher({ env, grace_ms, max_stdout_bytes, reaper }: ProgramSurroundings): Launcher {
  const mark = randomUUID();
  // Its own group: an abort ends the launcher with its program.
  const shell = startShell(SCRIPT, [], {
    env: { ...env },
    stdio: 'pipe',
    detached: true,
  }) as ChildProcessWithoutNullStreams;
  const group = shell.pid ?? null;
  let current: {
    onStdout(bytes: Buffer): void;
    onStderr(bytes: Buffer): void;
    onEnd(code: number): void;
    onDeath(): void;
    onError(error: Error): void;
  } | null = null;
  let isAlive = group !== null;

  shell.stdout.on(
    'data',
    createMarkReader(mark, {
      onBytes: (bytes) => current?.onStdout(bytes),
      onEnd: (code) => current?.onEnd(code),
    }),
  );
  shell.stderr.on(
    'data',
    createMarkReader(mark, {
      onBytes: (bytes) => current?.onStderr(bytes),
      onEnd: (code) => current?.onEnd(code),
    }),
  );
  shell.stdin.on('error', () => undefined);
  // It could not be started: too many processes, or no memory.
  shell.on('error', (error) => current?.onError(error));
  shell.on('exit', () => {
    isAlive = false;
  });
  shell.on('close', () => {
    isAlive = false;
    if (group !== null) reaper.forget(group);
    current?.onDeath();
  });
  if (group !== null) reaper.watch(group);
  shell.stdin.write(`${mark}\n`);

  return { run: runOne, end: () => shell.stdin.end(), isAlive: () => isAlive };

  function runOne(run: ProgramRun): Promise<ProgramEnd> {
    return new Promise((resolve, reject) => {
      const stdout = createStdoutKeeper(max_stdout_bytes);
      const errorLines = createLineSplitter(run.onErrorLine);
      const calm = group === null ? () => undefined : endOnAbort(run.signal, group, grace_ms);
      // Each of the two streams ends the run once; they are read independently.
      let open = 2;
      const end = (code: number | null, signal: string | null) => {
        current = null;
        calm();
        errorLines.flush();
        hold(shell, false);
        // An abort that came with the end has hit a launcher between two items.
        if (run.signal.aborted && group !== null) signalGroup(group, 'SIGKILL');
        resolve({ code, signal, ...stdout.end() });
      };
      current = {
        onStdout: stdout.write,
        onStderr: errorLines.write,
        onEnd(code) {
          open -= 1;
          if (open === 0) end(code, signalOf(code));
        },
        onDeath: () => end(null, 'SIGKILL'),
        onError(error) {
          current = null;
          calm();
          reject(error);
        },
      };
      hold(shell, true);
      shell.stdin.write(linesOf(run));
    });
  }
}

function linesOf({ program, args, cwd, item, stdin }: ProgramRun): string {
  const { batch_id, seq, attempt } = item;
  return `${[`${batch_id} ${seq} ${attempt}`, cwd, inputLine(stdin), args.length + 1, program, ...args].join('\n')}\n`;
}

/** A shell reports a program killed by signal 9 as 137. */
function signalOf(code: number): string | null {
  const entry = Object.entries(constants.signals).find(([, number]) => number === code - 128);
  return entry === undefined ? null : entry[0];
}

/** An idle launcher must not keep the process open; one at work must. */
function hold(shell: ChildProcessWithoutNullStreams, isHeld: boolean): void {
  for (const handle of [shell, shell.stdin, shell.stdout, shell.stderr]) {
    // The streams of a child are sockets, which the types do not say.
    const { ref, unref } = handle as { ref?: () => void; unref?: () => void };
    (isHeld ? ref : unref)?.call(handle);
  }
}
