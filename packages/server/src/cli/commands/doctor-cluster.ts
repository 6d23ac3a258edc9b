import { databaseText } from '../machine.ts';

export type Check = { name: string; ok: boolean | null; text: string; fix?: string };

/** The oldest PostgreSQL that is supported. */
const OLDEST = 13;

/** Clocks further apart than this make logs hard to read; the work itself goes by the database's. */
const SKEW_MS = 2_000;

/** What the database of a cluster says of itself: whether it keeps what it confirms, and what time it has. */
export function clusterChecks(about: Record<string, string | number>, nowMs: number): Check[] {
  const { version, fsync, synchronous_commit: commit, now_ms } = about;
  const isNew = Number.parseInt(String(version), 10) >= OLDEST;
  const isKept = fsync === 'on' && commit !== 'off';
  const skew = Math.round(Number(now_ms) - nowMs);
  return [
    {
      name: 'Database',
      ok: isNew && isKept,
      text: databaseText(about),
      fix: isNew
        ? 'what it confirms may be lost: set fsync = on and synchronous_commit = on in postgresql.conf'
        : `use PostgreSQL ${OLDEST} or newer`,
    },
    {
      name: 'Time',
      ok: Math.abs(skew) <= SKEW_MS ? true : null,
      text: `the database's clock is ${Math.abs(skew)} ms ${skew < 0 ? 'behind' : 'ahead of'} this machine's`,
      fix: 'set the clocks by NTP; Sheaf goes by the database, but logs go by each machine',
    },
  ];
}
