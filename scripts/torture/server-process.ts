import { spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ledger } from './ledger-processor.ts';
import type { Place } from './place.ts';

const BIN = join(import.meta.dirname, '..', '..', 'packages', 'server', 'bin', 'sheaf.js');

/** Children must be gone this soon after their parent. */
const ORPHAN_LIMIT_MS = 10_000;

export type End = { code: number | null; signal: NodeJS.Signals | null };

/** A `sheaf up` that was started, whether it listens already or not. */
export type ServerProcess = {
  pid: number;
  /** When it was started, by the wall clock. */
  started_at: number;
  ended: Promise<End>;
  /** Null while it runs. */
  end(): End | null;
};

/** Starts `sheaf up` on the folder, as a user would. What it says goes to the log file. */
export function startServer(place: Place): ServerProcess {
  const log = openSync(place.log, 'a');
  const args = ['up', '--data', place.data, '--port', '0', '--json', '--log-level', 'warn'];
  args.push('--concurrency', '8', '--processor', fileURLToPath(ledger.module));
  const child = spawn(process.execPath, [BIN, ...args], {
    cwd: place.folder,
    stdio: ['ignore', log, log],
    env: { PATH: process.env.PATH, HOME: process.env.HOME, LANG: 'C.UTF-8' },
  });
  closeSync(log);
  const { pid } = child;
  if (pid === undefined) throw new Error('sheaf up could not be started.');
  const endWithUs = () => child.kill('SIGKILL');
  process.once('exit', endWithUs);
  let end: End | null = null;
  const ended = new Promise<End>((resolve) => {
    child.once('exit', (code, signal) => {
      process.off('exit', endWithUs);
      end = { code, signal };
      resolve(end);
    });
  });
  return { pid, started_at: Date.now(), ended, end: () => end };
}

/** Waits until the server has announced itself, and answers its address. */
export async function untilListening(server: ServerProcess, place: Place, limitMs: number): Promise<string> {
  const deadline = performance.now() + limitMs;
  while (performance.now() < deadline) {
    const announced = readAnnouncement(place);
    if (announced?.pid === server.pid) return announced.url;
    const end = server.end();
    if (end !== null) throw new Error(`sheaf up ended by itself: ${end.signal ?? `exit code ${end.code}`}`);
    await wait(15);
  }
  throw new Error(`sheaf up did not listen within ${limitMs} ms`);
}

/** An announcement outlives a killed server: its pid tells whose it is. */
function readAnnouncement(place: Place): { url: string; pid: number } | null {
  try {
    return JSON.parse(readFileSync(join(place.data, 'server.json'), 'utf8')) as { url: string; pid: number };
  } catch {
    return null;
  }
}

/** Sends SIGKILL, and waits until the process is gone. Answers how it ended. */
export async function killServer(server: ServerProcess): Promise<End> {
  sendSignal(server.pid, 'SIGKILL');
  return server.ended;
}

export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It is gone already.
  }
}

/** Waits until no child of the server is left; false when one outlives the limit. */
export async function untilChildless(serverPid: number): Promise<boolean> {
  const deadline = performance.now() + ORPHAN_LIMIT_MS;
  while (childrenOf(serverPid).length > 0) {
    if (performance.now() > deadline) return false;
    await wait(20);
  }
  return true;
}

/**
 * Processes that run items for a server, alive or dead: its pid is their last argument. Where there
 * is no `/proc` nothing is found.
 */
export function childrenOf(serverPid: number): number[] {
  return processIds().filter((pid) => {
    const args = readProc(pid, 'cmdline').split('\0').filter(Boolean);
    return (
      args.at(-1) === String(serverPid) && args.some((arg) => /runner-process[\\/]child\.[jt]s$/.test(arg))
    );
  });
}

function processIds(): number[] {
  try {
    return readdirSync('/proc').map(Number).filter(Number.isInteger);
  } catch {
    return [];
  }
}

/** Empty for one that is gone; a zombie has no arguments any more, so it counts as gone, too. */
function readProc(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return '';
  }
}
