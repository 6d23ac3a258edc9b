import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, createClient } from '@sheaf/client';
import type { Processor } from '@sheaf/engine';
import { errorCode, SheafError } from '@sheaf/protocol';
import { type Context, note } from './context.ts';
import { failure } from './failure.ts';
import type { Host } from './host.ts';
import { type Announcement, discover, readAnnouncement } from './place.ts';
import { clean } from './view/clean.ts';

/** A server to talk to: one that runs, or one in this process for as long as the command. */
export type Connection = {
  client: Client;
  /** The server of this process, if it is ours. */
  own: Host | null;
  /** Whether somebody works on the batches: a server that runs does, one opened only to look does not. */
  isWorking: boolean;
  close(options?: { drain_ms?: number }): Promise<void>;
};

export type ConnectOptions = {
  /** Whether the batches are to be worked on while the command runs. @default false */
  work?: boolean;
  processors?: readonly Processor[];
  /**
   * Without a data folder: `fail` with not_found, `make` one, or look into an empty one that is
   * removed again (`scratch`).
   *
   * @default fail
   */
  missing?: 'fail' | 'make' | 'scratch';
};

/** A command that only looks holds the folder for a moment; longer than this it is somebody at work. */
const GUARD_WAIT_MS = 5_000;

/** Finds the server that was named or that runs on the data folder; else opens the folder itself. */
export async function connect(context: Context, options: ConnectOptions = {}): Promise<Connection> {
  if (context.server !== null) return remote(serverAddress(context.server));
  if (!existsSync(context.data_dir) && context.cluster !== null) return await scratch(context, options);
  if (!existsSync(context.data_dir) && options.missing !== 'make') {
    if (options.missing === 'scratch') return await scratch(context, { work: false });
    throw failure(
      'not_found',
      `there is no data folder ${shown(context.data_dir)} yet`,
      'try  sheaf demo, or name the folder with --data DIR',
    );
  }
  const deadline = performance.now() + GUARD_WAIT_MS;
  for (;;) {
    const running = await discover(context.data_dir);
    if (running !== null) return remote(running.url);
    try {
      return await open(context, context.data_dir, options);
    } catch (error) {
      if (errorCode(error) !== 'already_running') throw error;
      if (performance.now() > deadline)
        throw taken(context.data_dir, readAnnouncement(context.data_dir), error);
    }
    await sleep(50);
  }
}

/** Connects for as long as `use` takes. */
export async function withConnection<T>(
  context: Context,
  options: ConnectOptions,
  use: (connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = await connect(context, options);
  let result: T;
  try {
    result = await use(connection);
  } catch (error) {
    // The first failure says more than what follows from it.
    await connection.close().catch(() => undefined);
    throw error;
  }
  await connection.close();
  return result;
}

function remote(url: string): Connection {
  return { client: createClient({ url }), own: null, isWorking: true, close: async () => undefined };
}

async function open(context: Context, dataDir: string, options: ConnectOptions): Promise<Connection> {
  const { startHost } = await import('./host.ts');
  const work = options.work === true;
  const processors = options.processors ?? [];
  const own = await startHost({
    data_dir: dataDir,
    ...context.cluster,
    work,
    processors,
    onError: (error) =>
      note(context, `problem: ${clean(error instanceof Error ? error.message : String(error))}`),
  });
  return {
    client: createClient({ url: own.url }),
    own,
    isWorking: work,
    close: (how) => own.close(how),
  };
}

/** In a folder that goes when the command ends: the batches are elsewhere, or there are none yet. */
async function scratch(context: Context, options: ConnectOptions): Promise<Connection> {
  const folder = mkdtempSync(join(tmpdir(), 'sheaf-'));
  const connection = await open(context, folder, options);
  return {
    ...connection,
    async close() {
      await connection.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Says who holds the folder. */
export function taken(dataDir: string, holder: Announcement | null, cause: unknown): SheafError {
  const who =
    holder === null ? 'another process' : `${holder.url} (process ${holder.pid}, since ${holder.started_at})`;
  const hint = 'use that one, stop it, or give this one another folder with --data DIR';
  const details = { hint, ...(holder !== null && holder) };
  return new SheafError(
    'already_running',
    `the data folder ${shown(dataDir)} is in use by ${who}`,
    details,
    cause,
  );
}

/** A folder as a person would type it. */
export function shown(path: string): string {
  const near = relative(process.cwd(), path);
  if (near === '') return '.';
  return near.startsWith('..') ? path : `./${near}`;
}

function serverAddress(text: string): string {
  const address = /^[a-z]+:\/\//i.test(text) ? text : `http://${text}`;
  const url = URL.canParse(address) ? new URL(address) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw failure(
      'usage',
      `"${text}" is no address of a server`,
      'for example --server http://127.0.0.1:5100',
    );
  }
  return address.replace(/\/+$/, '');
}
