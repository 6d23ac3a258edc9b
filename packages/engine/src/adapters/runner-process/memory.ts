import { readFileSync } from 'node:fs';

/**
 * Resident bytes of a process and of all it started, or null where the system does not tell (only
 * Linux does, and the process may be gone).
 *
 * A few small reads of /proc, which never wait for the process they tell of.
 */
export function residentBytes(pid: number, depth = 0): number | null {
  try {
    const kilobytes = /^VmRSS:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
    let bytes = Number(kilobytes ?? 0) * 1_024;
    if (depth < 4) {
      for (const child of childrenOf(pid)) bytes += residentBytes(child, depth + 1) ?? 0;
    }
    return bytes;
  } catch {
    return null;
  }
}

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1');
    return text.split(' ').filter(Boolean).map(Number);
  } catch {
    // Some kernels are built without that file.
    return [];
  }
}
