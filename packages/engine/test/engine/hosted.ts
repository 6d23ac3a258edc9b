import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Batch, CreateBatch } from '@sheaf/protocol';
import { expect, onTestFinished } from 'vitest';
import type { Engine, RecoveryReport } from '../../src/api.ts';
import { createEngine } from '../../src/engine.ts';
import type { EngineOptions } from '../../src/options.ts';
import { until } from '../../src/testing/until.ts';
import type { HostOptions } from './host.ts';

export type Entry = {
  seq: number;
  attempt: number;
  nonce?: string;
  killer?: boolean;
  /** Who ran it, and when it was done. */
  pid?: number;
  at?: number;
};

type Line = { say: string; id?: string; code?: string; recovery?: RecoveryReport; recovered_count?: number };

/** A process with an engine in it. */
export type Host = {
  readonly pid: number;
  readonly lines: Line[];
  /** Everything it wrote to stderr, for the message of a failed test. */
  stderr(): string;
  /** Waits for what it says; fails when it ends without. */
  said(what: string, limitMs?: number): Promise<Line>;
  kill(): Promise<void>;
  /** Waits until nothing is left to do and the process has ended by itself. */
  finished(): Promise<void>;
  /** Resolves when it has ended, with its exit code or signal. */
  ended(limitMs?: number): Promise<number | string>;
};

/** A folder that outlives the processes that work on it. */
export function openHostedFolder({ parent = tmpdir() }: { parent?: string } = {}) {
  const folder = mkdtempSync(join(parent, 'sheaf-hosted-'));
  const ledger = join(mkdtempSync(join(tmpdir(), 'sheaf-ledger-')), 'ledger.ndjson');
  const hosts: Host[] = [];
  onTestFinished(async () => {
    for (const host of hosts) await host.kill();
    rmSync(folder, { recursive: true, force: true });
    rmSync(join(ledger, '..'), { recursive: true, force: true });
  });

  /** Its numbers must add up, whoever died on it. */
  async function look<T>(at: (engine: Engine) => Promise<T>): Promise<T> {
    const engine = await createEngine({ data_dir: folder, work: false });
    try {
      expect(await engine.checkInvariants()).toEqual([]);
      return await at(engine);
    } finally {
      await engine.close();
    }
  }

  return {
    folder,
    /** Starts a process on the folder. */
    start(
      options: Partial<Omit<HostOptions, 'engine'>> & {
        engine?: Partial<EngineOptions>;
        command?: string[];
      } = {},
    ): Host {
      const { engine = {}, command = [], processors = ['ledger', 'unsafe'], ...rest } = options;
      const given = { ledger, processors, ...rest, engine: { data_dir: folder, ...engine } };
      const host = startHost(given, command);
      hosts.push(host);
      return host;
    },
    /** What was written down by whoever ran an item. The last line may be torn. */
    entries: () => readLedger(ledger),
    /** The batches, the newest first, while no process works on the folder. */
    batches: () => look((engine) => newestOf(engine)),
    /** The newest batch and its items, while no process works on the folder. */
    look: () =>
      look(async (engine) => {
        const [batch] = await newestOf(engine);
        if (batch === undefined) throw new Error('There is no batch.');
        const { data: items } = await engine.items({ batch_id: batch.id, after: 0, limit: 1_000 });
        return { batch, items };
      }),
    /** Makes a batch while no process works on the folder. */
    async make(batch: CreateBatch): Promise<void> {
      const maker = this.start({ engine: { work: false }, make: batch });
      await maker.said('made');
      await maker.kill();
    },
  };
}

export function readLedger(file: string): Entry[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line) as Entry);
}

async function newestOf(engine: Engine): Promise<Batch[]> {
  return (await engine.list({ limit: 100, offset: 0 })).data;
}

export function startHost(options: HostOptions, [program, ...before]: string[] = []): Host {
  const file = fileURLToPath(new URL('./host.ts', import.meta.url));
  const args = [
    ...before,
    ...(program === undefined ? [] : [process.execPath]),
    file,
    JSON.stringify(options),
  ];
  const child = spawn(program ?? process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const lines: Line[] = [];
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr = (stderr + chunk).slice(-10_000);
  });
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(JSON.parse(line) as Line));
  const end = endOf(child);
  const host: Host = {
    pid: child.pid ?? 0,
    lines,
    stderr: () => stderr,
    async said(what, limitMs = 60_000) {
      const found = () => lines.find((line) => line.say === what);
      await until(`the host says ${what}`, () => found() !== undefined || end.value !== null, {
        limit_ms: limitMs,
      });
      const line = found();
      if (line === undefined) throw new Error(`The host ended (${end.value}) without "${what}": ${stderr}`);
      return line;
    },
    async kill() {
      child.kill('SIGKILL');
      await host.ended();
    },
    async finished() {
      await host.said('final');
      expect(await host.ended()).toBe(0);
    },
    async ended(limitMs = 60_000) {
      await until('the host has ended', () => end.value !== null, { limit_ms: limitMs });
      return end.value ?? 0;
    },
  };
  return host;
}

function endOf(child: ChildProcess): { value: number | string | null } {
  const end: { value: number | string | null } = { value: null };
  child.on('close', (code, signal) => {
    end.value = signal ?? code ?? -1;
  });
  return end;
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
