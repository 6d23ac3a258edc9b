import { closeSync, existsSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** How often the disk is asked. */
export const FSYNCS = 20;

/**
 * What the engine read back from its database: `SQLite 3.53.4 (WAL, synchronous FULL)`, or
 * `PostgreSQL 18.4 (fsync on, synchronous_commit on)`.
 */
export function databaseText(about: Record<string, string | number>): string {
  const { database, version } = about;
  const number = String(version).split(' ')[0];
  if (database === 'postgres') {
    return `PostgreSQL ${number} (fsync ${about.fsync}, synchronous_commit ${about.synchronous_commit})`;
  }
  return `SQLite ${number} (${String(about.journal_mode).toUpperCase()}, synchronous ${about.synchronous})`;
}

/** Milliseconds the disk takes to say that a page is safe: the middle and the worst of twenty. */
export function measureFsync(dataDir: string): { median: number; worst: number } {
  const folder = mkdtempSync(join(nearestFolder(dataDir), '.sheaf-fsync-'));
  try {
    const file = openSync(join(folder, 'probe'), 'w');
    const page = Buffer.alloc(4_096, 1);
    const times: number[] = [];
    for (let round = 0; round < FSYNCS; round++) {
      writeSync(file, page);
      const before = performance.now();
      fsyncSync(file);
      times.push(performance.now() - before);
    }
    closeSync(file);
    times.sort((a, b) => a - b);
    return { median: times[FSYNCS / 2] ?? 0, worst: times.at(-1) ?? 0 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The folder, or the nearest one above it that exists. */
export function nearestFolder(path: string): string {
  return existsSync(path) ? path : nearestFolder(dirname(path));
}
