import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A `sheaf up` of its own, as a user starts it. */
export type Server = {
  url: string;
  /** The most memory it has had, in bytes; NaN where the system does not tell. */
  peakMemory(): number;
  close(): Promise<void>;
};

const ROOT = join(import.meta.dirname, '..');

export async function startServer(options: {
  folder: string;
  processors: string;
  concurrency: number;
}): Promise<Server> {
  const { folder, processors, concurrency } = options;
  const child = spawn(
    join(ROOT, 'node_modules', '.bin', 'sheaf'),
    [
      'up',
      '--json',
      '--data',
      folder,
      '--port',
      '0',
      '--log-level',
      'silent',
      '--concurrency',
      String(concurrency),
      '--processor',
      processors,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const url = await announced(child);
  return {
    url,
    peakMemory: () => peakOf(child.pid),
    async close() {
      if (child.exitCode !== null) throw new Error(`The server ended by itself with code ${child.exitCode}.`);
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}

/** The server's first words are one JSON object, over several lines. */
async function announced(child: ChildProcess): Promise<string> {
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  for (;;) {
    const url = /"url": *"([^"]+)"/.exec(text)?.[1];
    if (url !== undefined) return url;
    if (child.exitCode !== null) throw new Error(`The server did not start: ${text}`);
    await sleep(20);
  }
}

function peakOf(pid: number | undefined): number {
  try {
    const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return Number(kilobytes) * 1024;
  } catch {
    return Number.NaN;
  }
}

/** Calls the server, and says what it said when it refused. */
export async function call<Answer>(
  url: string,
  init: RequestInit & { duplex?: 'half' } = {},
): Promise<Answer> {
  const response = await fetch(url, init);
  const text = await response.text();
  if (!response.ok) throw new Error(`${init.method ?? 'GET'} ${url}: ${response.status} ${text}`);
  // The bench asks only for what the server's own documentation promises.
  return JSON.parse(text) as Answer;
}
