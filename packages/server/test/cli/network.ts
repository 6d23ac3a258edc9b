import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createConnection, createServer, type Server } from 'node:net';
import { join } from 'node:path';

const BRIDGE = join(import.meta.dirname, '..', 'fixtures', 'network-bridge.ts');

/** Processes in it have no network but a loopback of their own, and the ways that were opened. */
export type Network = {
  /** What to run in place of a program, so that it runs in here. */
  inside(program: string, args: readonly string[]): { program: string; args: string[] };
  /** Whether something in here finds anybody at a port of the loopback; what it leads to is not asked. */
  reaches(port: number): boolean;
  close(): Promise<void>;
};

/** Whether this machine lets us make networks: it takes Linux, `unshare`, `nsenter`, `ip` and the right to. */
export function canMakeNetworks(): boolean {
  const enter = spawnSync('nsenter', ['--version']);
  const make = spawnSync('unshare', ['--net', 'ip', 'link', 'set', 'lo', 'up']);
  return enter.status === 0 && make.status === 0;
}

/**
 * Makes a network from which these ports of the machine's loopback can be reached, under the same
 * numbers, and nothing else. What passes goes by sockets in `folder`: files are no part of a network.
 */
export async function makeNetwork(folder: string, ports: readonly number[]): Promise<Network> {
  const ways = ports.map((port) => ({ port, path: join(folder, `${port}.sock`) }));
  const servers = await Promise.all(ways.map(openWay));
  const bridge = spawn(
    'unshare',
    [
      ...['--net', '--', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh'],
      ...[process.execPath, BRIDGE, ...ways.map(({ port, path }) => `${port}=${path}`)],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const ended = once(bridge, 'close');
  const [said] = (await Promise.race([once(bridge.stdout, 'data'), ended])) as [unknown];
  if (String(said) !== 'open\n') throw new Error(`The bridge said ${said}`);
  const inside: Network['inside'] = (program, args) => ({
    program: 'nsenter',
    args: [`--net=/proc/${bridge.pid}/ns/net`, '--', program, ...args],
  });
  return {
    inside,
    reaches(port) {
      const probe = `require('node:net').connect(${port}, '127.0.0.1', () => process.exit(0))`;
      const { program, args } = inside(process.execPath, ['-e', probe]);
      return spawnSync(program, args).status === 0;
    },
    async close() {
      bridge.kill('SIGKILL');
      await ended;
      for (const server of servers) server.close();
    },
  };
}

async function openWay({ port, path }: { port: number; path: string }): Promise<Server> {
  const server = createServer((near) => {
    const far = createConnection(port, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.pipe(to);
      from.on('error', () => to.destroy());
    }
  });
  server.listen(path);
  await once(server, 'listening');
  return server;
}
