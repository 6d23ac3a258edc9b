import { writeSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { OUT_OF_MEMORY_MARK } from './messages.ts';

/**
 * The thread beside a child's main one: ends the child's whole group when the parent is gone, even
 * while the main thread is in an endless loop, and where the parent cannot watch memory, ends it
 * over its limit.
 */
const { parent_pid: parentPid, limit } = workerData as { parent_pid: number; limit: Float64Array };

setInterval(() => {
  if (process.ppid !== parentPid) end();
  const maxBytes = limit[0] ?? 0;
  if (maxBytes > 0 && process.memoryUsage.rss() > maxBytes) {
    writeSync(2, `\n${OUT_OF_MEMORY_MARK}\n`);
    end();
  }
}, 400);

function end(): void {
  process.kill(process.platform === 'win32' ? process.pid : -process.pid, 'SIGKILL');
}
