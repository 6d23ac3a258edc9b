import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { HAS_GROUPS } from '../../adapters/process-group.ts';

const SHELL = '/bin/sh';

/** Whether this system has the shell that reapers, launchers and gates are written for. */
export function hasShell(): boolean {
  return HAS_GROUPS && existsSync(SHELL);
}

/** Starts a shell with a script of ours; `args` reach it as `"$@"`. */
export function startShell(script: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  return spawn(SHELL, ['-c', script, 'sh', ...args], options);
}
