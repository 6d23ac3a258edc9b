import type { AddressInfo } from 'node:net';
import type { Engine, Processor } from '@sheaf/engine';
import { announce } from './place.ts';

/** The engine and its HTTP server in this process. */
export type Host = {
  url: string;
  engine: Engine;
  /** Hands back or finishes what runs, then closes all. A second call with `drain_ms: 0` ends the wait. */
  close(options?: { drain_ms?: number }): Promise<void>;
};

export type HostOptions = {
  data_dir: string;
  /** Of a cluster. @default null */
  database?: string | null;
  /** @default null */
  files?: string | null;
  pools?: readonly string[];
  /** Whether batches are worked on; without it they are only read and steered. */
  work: boolean;
  /** @default 127.0.0.1 */
  host?: string;
  /** @default any that is free */
  port?: number;
  concurrency?: number;
  processors?: readonly Processor[];
  allowed_hosts?: readonly string[];
  allowed_origins?: readonly string[];
  /** @default silent */
  log_level?: string;
  recovery?: 'resume' | 'review' | null;
  retention_days?: number;
  drain_ms?: number;
  /** Told of problems that no call is there to answer for. @default the log */
  onError?: (error: unknown) => void;
};

/**
 * Opens the data folder and serves it. A host that works announces itself in the folder, so that
 * other commands talk to it; one that only looks does not, because it is gone in a moment.
 *
 * @throws already_running when another process holds the folder; bad_config when the port is taken.
 */
export async function startHost(options: HostOptions): Promise<Host> {
  // Imported here: they take longer to load than most commands take to run.
  const [{ createEngine }, { packs }, { createServer }] = await Promise.all([
    import('@sheaf/engine'),
    import('@sheaf/packs'),
    import('../http/server.ts'),
  ]);
  const address = options.host ?? '127.0.0.1';
  // The log comes with the server, which needs the engine first.
  let onError = options.onError ?? console.error;
  const engine = await createEngine({
    data_dir: options.data_dir,
    ...(options.database !== undefined && { database: options.database }),
    ...(options.files !== undefined && { files: options.files }),
    ...(options.pools !== undefined && { pools: options.pools }),
    work: options.work,
    packs,
    processors: options.processors ?? [],
    ...(options.concurrency !== undefined && { concurrency: options.concurrency }),
    ...(options.recovery !== undefined && { recovery: options.recovery }),
    ...(options.retention_days !== undefined && { retention_days: options.retention_days }),
    ...(options.drain_ms !== undefined && { drain_ms: options.drain_ms }),
    onError: (error) => onError(error),
  });
  // Whoever waits for it is told; it must not end the process before.
  engine.failed.catch(() => undefined);
  const app = await createServer({
    engine,
    host: address,
    log_level: options.log_level ?? 'silent',
    ...(options.allowed_hosts !== undefined && { allowed_hosts: options.allowed_hosts }),
    ...(options.allowed_origins !== undefined && { allowed_origins: options.allowed_origins }),
  });
  onError = options.onError ?? ((error) => app.log.error({ err: error }, 'the engine met a problem'));
  try {
    await app.listen({ host: address, port: options.port ?? 0 });
  } catch (error) {
    await engine.close({ drain_ms: 0 });
    throw error;
  }
  // Listening on a port, so the address is no path of a socket.
  const { port } = app.server.address() as AddressInfo;
  const url = `http://${reachable(address)}:${port}`;
  const withdraw = options.work ? announce(options.data_dir, url) : () => undefined;
  let closing: Promise<void> | undefined;
  return {
    url,
    engine,
    async close({ drain_ms } = {}) {
      // The engine first: whoever watches sees the end of what still runs.
      const drained = engine.close(drain_ms === undefined ? {} : { drain_ms });
      closing ??= drained.then(() => app.close()).then(withdraw);
      await closing;
    },
  };
}

/** An address to call for one to listen at. */
function reachable(address: string): string {
  if (address === '0.0.0.0') return '127.0.0.1';
  if (address === '::') return '[::1]';
  return address.includes(':') ? `[${address}]` : address;
}
