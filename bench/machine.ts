import { execFileSync } from 'node:child_process';
import { closeSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { findPostgresBinaries } from '../packages/engine/src/testing/postgres-server.ts';

/** What the figures were measured on. */
export function describeMachine(folder: string): Record<string, string> {
  const memory = Math.round(totalmem() / 2 ** 30);
  return {
    cpu: `${cpus()[0]?.model.trim() ?? 'unknown'} × ${availableParallelism()}`,
    memory: `${memory} GiB`,
    node: process.versions.node,
    sqlite: sqliteVersion(),
    fsync: `${fsyncMs(folder).toFixed(2)} ms`,
  };
}

/** The server that the cluster's benches start. */
export function describePostgres(): Record<string, string> {
  const binaries = findPostgresBinaries();
  if (binaries === null) return { postgres: 'none' };
  const said = execFileSync(join(binaries, 'postgres'), ['--version'], { encoding: 'utf8' });
  return { postgres: /\d+(\.\d+)?/.exec(said)?.[0] ?? said };
}

/** Absolute figures of a busy machine mean little, and ratios scatter. */
export function warnOfNoise(): void {
  const [load = 0] = loadavg();
  const cores = availableParallelism();
  if (load < cores / 2) return;
  console.log(`The machine is busy (load ${load.toFixed(1)} on ${cores} cores): read ratios, not figures.`);
}

function sqliteVersion(): string {
  const database = new DatabaseSync(':memory:');
  const version = String(database.prepare('select sqlite_version() as version').get()?.version);
  database.close();
  return version;
}

/** Median time until 4 KiB appended to a file are on disk: what every commit waits for. */
function fsyncMs(folder: string): number {
  const path = join(folder, `sheaf-bench-fsync-${process.pid}`);
  const file = openSync(path, 'w');
  const block = Buffer.alloc(4096, 1);
  try {
    const times = Array.from({ length: 101 }, () => {
      writeSync(file, block);
      const from = performance.now();
      fsyncSync(file);
      return performance.now() - from;
    });
    return times.sort((a, b) => a - b)[50] ?? Number.NaN;
  } finally {
    closeSync(file);
    rmSync(path);
  }
}
