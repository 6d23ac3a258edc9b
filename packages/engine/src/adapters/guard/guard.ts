import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { SheafError } from '@sheaf/protocol';

/** Who holds a data folder, as the second one is told. */
export type Holder = { pid: number; boot: string; started_at: number; host: string };

export type Guard = {
  /** Gives the folder free. The end of the process, however it comes, does the same. */
  release(): void;
};

/**
 * Takes a data folder for this process alone.
 *
 * The lock is one of SQLite's on a file of its own, held by the operating system: it is gone the
 * moment the process is, and needs no heartbeat. It does not hold on network file systems.
 *
 * @param boot The random id of this start.
 * @throws already_running naming the holder.
 */
export function holdGuard(dataDir: string, { boot, now }: { boot: string; now: number }): Guard {
  mkdirSync(dataDir, { recursive: true });
  const database = new DatabaseSync(join(dataDir, 'guard.db'), { timeout: 0 });
  try {
    database.exec('begin exclusive');
  } catch (error) {
    database.close();
    throw isBusy(error) ? alreadyRunning(dataDir, error) : error;
  }
  writeHolder(dataDir, { pid: process.pid, boot, started_at: now, host: hostname() });
  let isHeld = true;
  const release = () => {
    if (isHeld) database.close();
    isHeld = false;
    process.off('exit', release);
  };
  // Also keeps the connection from the garbage collector, which would close it, when the caller
  // holds a guard for the life of the process and forgets it.
  process.on('exit', release);
  return { release };
}

const HOLDER_FILE = 'guard.json';

function writeHolder(dataDir: string, holder: Holder): void {
  // Renamed into place: who comes second reads all of it or what was there before.
  const path = join(dataDir, `${HOLDER_FILE}.new`);
  writeFileSync(path, `${JSON.stringify(holder)}\n`);
  renameSync(path, join(dataDir, HOLDER_FILE));
}

function alreadyRunning(dataDir: string, cause: unknown): SheafError {
  const holder = readHolder(dataDir);
  const who =
    holder === null
      ? 'Another server'
      : `Another server (process ${holder.pid} on ${holder.host}, since ${new Date(holder.started_at).toISOString()})`;
  return new SheafError(
    'already_running',
    `${who} works on ${dataDir}. Stop it, or choose another data folder.`,
    { data_dir: dataDir, ...holder },
    cause,
  );
}

function readHolder(dataDir: string): Holder | null {
  try {
    const holder: unknown = JSON.parse(readFileSync(join(dataDir, HOLDER_FILE), 'utf8'));
    const isWhole =
      typeof holder === 'object' &&
      holder !== null &&
      'pid' in holder &&
      'boot' in holder &&
      'started_at' in holder &&
      typeof holder.started_at === 'number' &&
      'host' in holder;
    // It is our own file, written in one piece.
    return isWhole ? (holder as Holder) : null;
  } catch {
    return null;
  }
}

function isBusy(error: unknown): boolean {
  // SQLITE_BUSY, and SQLITE_LOCKED for a second try in the same process.
  return (
    typeof error === 'object' &&
    error !== null &&
    'errcode' in error &&
    (error.errcode === 5 || error.errcode === 6)
  );
}
