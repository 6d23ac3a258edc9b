import { existsSync, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { errorCode } from '@sheaf/protocol';
import { loadConfig } from '../../config.ts';
import type { Call } from '../command.ts';
import { connect, shown } from '../connect.ts';
import { answer, type Context, configInput, say } from '../context.ts';
import { databaseText, FSYNCS, measureFsync, nearestFolder } from '../machine.ts';
import { type Announcement, discover } from '../place.ts';
import { VERSION } from '../version.ts';
import { bytes } from '../view/format.ts';
import { type Check, clusterChecks } from './doctor-cluster.ts';

/** When this release was made; a clock before it is wrong. */
const RELEASED_AT = Date.UTC(2026, 10, 1);

/** `sheaf doctor`: what the machine gives, and what to do where it is not enough. */
export async function doctor({ context, globals }: Call): Promise<number> {
  const { port, host } = loadConfig(configInput(globals, process.env));
  const running = context.server === null ? await discover(context.data_dir) : null;
  const checks: Check[] = [
    nodeCheck(),
    ...(await databaseChecks(context, running)),
    ...(context.server === null
      ? [folderCheck(context.data_dir), await diskCheck(context.data_dir), fsyncCheck(context.data_dir)]
      : []),
    await portCheck(host, port, running),
    clockCheck(),
  ];
  const isWell = checks.every(({ ok }) => ok !== false);
  answer(context, { version: VERSION, ok: isWell, checks });
  for (const check of checks) sayCheck(context, check);
  return isWell ? 0 : 1;
}

function sayCheck(context: Context, { ok, name, text, fix }: Check): void {
  const { paint } = context.terminal;
  const mark = ok === true ? paint('green', '✓') : ok === null ? paint('amber', '⚠') : paint('red', '✗');
  say(context, `${mark} ${name.padEnd(9)} ${text}`);
  if (ok !== true && fix !== undefined) say(context, `            → ${fix}`);
}

function nodeCheck(): Check {
  const { node } = process.versions;
  const ok = Number(node.split('.')[0]) >= 24;
  return { name: 'Node', ok, text: node, fix: 'install Node 24 or newer' };
}

/** What the engine says of its database. A server that runs holds the folder, so it is only asked whether it is well. */
async function databaseChecks(context: Context, running: Announcement | null): Promise<Check[]> {
  if (running !== null || context.server !== null) {
    return [await serverCheck(context)];
  }
  try {
    const connection = await connect(context, { missing: 'scratch' });
    try {
      const about = (await connection.own?.engine.about()) ?? {};
      if (about.database === 'postgres') return [...clusterChecks(about, Date.now()), filesCheck(context)];
      const isSafe = !/off|normal/i.test(String(about.synchronous ?? ''));
      return [
        {
          name: 'Database',
          ok: isSafe,
          text: databaseText(about),
          fix: 'synchronous must be FULL; this is a mistake of ours, please report it',
        },
      ];
    } finally {
      await connection.close();
    }
  } catch (error) {
    const fix =
      errorCode(error) === 'already_running'
        ? 'another process holds the folder; stop it or wait for it'
        : 'sheaf doctor --debug';
    return [
      { name: 'Database', ok: false, text: error instanceof Error ? error.message : String(error), fix },
    ];
  }
}

/** The engine has tried all rights on the bucket, or found the mark in the folder, before it was open. */
function filesCheck({ cluster, data_dir }: Context): Check {
  const place = cluster?.files?.split('?')[0] ?? `${shown(data_dir)}/files`;
  return { name: 'Files', ok: true, text: `${place} can be written, read and deleted` };
}

async function serverCheck(context: Context): Promise<Check> {
  try {
    const { client } = await connect(context);
    await client.list({ limit: 1 });
    return { name: 'Server', ok: true, text: `${client.url} answers` };
  } catch (error) {
    return {
      name: 'Server',
      ok: false,
      text: error instanceof Error ? error.message : String(error),
      fix: 'start it with  sheaf up',
    };
  }
}

function folderCheck(dataDir: string): Check {
  const text = shown(dataDir);
  if (!existsSync(dataDir))
    return { name: 'Folder', ok: true, text: `${text} is not there yet; it is made at first use` };
  const { mode, uid } = statSync(dataDir);
  const isForeign = process.getuid !== undefined && uid !== process.getuid();
  if ((mode & 0o002) !== 0) {
    return {
      name: 'Folder',
      ok: null,
      text: `${text} can be changed by everybody on this machine`,
      fix: `chmod o-w ${text}`,
    };
  }
  if (isForeign)
    return {
      name: 'Folder',
      ok: null,
      text: `${text} belongs to another user (uid ${uid})`,
      fix: 'run as that user, or name another folder',
    };
  return { name: 'Folder', ok: true, text };
}

async function diskCheck(dataDir: string): Promise<Check> {
  const { bavail, blocks, bsize } = await statfs(nearestFolder(dataDir));
  const free = bavail * bsize;
  const share = blocks === 0 ? 100 : Math.round((bavail / blocks) * 100);
  const ok = free > 1e9 ? true : free > 1e8 ? null : false;
  return {
    name: 'Disk',
    ok,
    text: `${bytes(free)} free (${share} %)`,
    fix: 'make room: sheaf cleanup, or another folder with --data DIR',
  };
}

/** How long the disk takes to say that bytes are safe; every acknowledged write waits for it. */
function fsyncCheck(dataDir: string): Check {
  const { median, worst } = measureFsync(dataDir);
  const text = `fsync ${median.toFixed(1)} ms (worst of ${FSYNCS}: ${worst.toFixed(1)} ms)`;
  if (median < 0.02)
    return {
      name: 'Writes',
      ok: null,
      text: `${text}; too fast to be true`,
      fix: 'this disk may lie about what it keeps (a RAM disk does); use a real one for what matters',
    };
  return {
    name: 'Writes',
    ok: median < 100 ? true : null,
    text,
    fix: 'slow: work goes on, but small batches wait for the disk',
  };
}

async function portCheck(host: string, port: number, running: Announcement | null): Promise<Check> {
  if (running !== null)
    return {
      name: 'Port',
      ok: true,
      text: `our server runs at ${running.url} (process ${running.pid}, since ${running.started_at})`,
    };
  if (port === 0 || (await isFree(host, port))) return { name: 'Port', ok: true, text: `${port} is free` };
  return {
    name: 'Port',
    ok: null,
    text: `${port} is taken by another program`,
    fix: `sheaf up --port ${port + 1}`,
  };
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host, port, timeout: 1_000 });
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => end(false));
    socket.once('timeout', () => end(false));
    socket.once('error', () => end(true));
  });
}

function clockCheck(): Check {
  const now = Date.now();
  const ok = now >= RELEASED_AT;
  return {
    name: 'Clock',
    ok,
    text: new Date(now).toISOString(),
    fix: 'this is before Sheaf was made; set the clock of the machine',
  };
}
