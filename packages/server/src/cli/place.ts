import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClient } from '@sheaf/client';

/** How a running server makes itself known to commands that use the same data folder. */
export type Announcement = { url: string; pid: number; started_at: string };

/**
 * Writes `server.json` for as long as this process serves the folder.
 *
 * @returns Takes it away again; also done when the process exits in any orderly way.
 */
export function announce(dataDir: string, url: string): () => void {
  const path = join(dataDir, 'server.json');
  const announcement: Announcement = { url, pid: process.pid, started_at: new Date().toISOString() };
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, `${JSON.stringify(announcement)}\n`, { mode: 0o600 });
  renameSync(temporary, path);
  const remove = () => {
    process.off('exit', remove);
    // Only our own: after a takeover it speaks of another server.
    if (readAnnouncement(dataDir)?.pid === process.pid) rmSync(path, { force: true });
  };
  process.once('exit', remove);
  return remove;
}

/** What stands in `server.json`, true or stale; null when there is nothing to read. */
export function readAnnouncement(dataDir: string): Announcement | null {
  try {
    const value: unknown = JSON.parse(readFileSync(join(dataDir, 'server.json'), 'utf8'));
    if (typeof value !== 'object' || value === null) return null;
    const { url, pid, started_at } = value as Partial<Announcement>;
    if (typeof url !== 'string' || !URL.canParse(url) || !Number.isInteger(pid)) return null;
    return { url, pid: Number(pid), started_at: String(started_at ?? '') };
  } catch {
    return null;
  }
}

/** The server that works on this folder now, or null. An announcement of a dead one is not believed. */
export async function discover(dataDir: string): Promise<Announcement | null> {
  const announcement = readAnnouncement(dataDir);
  if (announcement === null || !isAlive(announcement.pid)) return null;
  try {
    await createClient({ url: announcement.url }).health({ timeout_ms: 2_000 });
    return announcement;
  } catch {
    return null;
  }
}

/** Whether a process with this number exists. It need not be the one it was: numbers are used again. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
