import { existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { errorCode, SheafError } from '@sheaf/protocol';
import type { Settings } from '../../config.ts';
import type { Call } from '../command.ts';
import { shown, taken } from '../connect.ts';
import { answer, type Context, say } from '../context.ts';
import { failure } from '../failure.ts';
import { type Host, startHost } from '../host.ts';
import { databaseText, measureFsync, nearestFolder } from '../machine.ts';
import { readAnnouncement } from '../place.ts';
import { loadProcessors } from '../processor-file.ts';
import { DRAIN_MS, type ServeFlags, settingsOf, untilEnd } from '../serve.ts';
import { clean } from '../view/clean.ts';
import { plural } from '../view/format.ts';

type Flags = ServeFlags & {
  port?: string;
  retentionDays?: string;
  allowedHost?: string[];
};

/** `sheaf up`: the server with its workers, until it is told to end. */
export async function up({ context, globals, options }: Call<Flags>): Promise<number> {
  if (context.server !== null)
    throw failure(
      'usage',
      'up starts a server here; --server names one elsewhere',
      'unset SHEAF_SERVER, or leave --server out',
    );
  const settings = settingsOf(globals, {
    ...options,
    settings: {
      port: options.port,
      retention_days: options.retentionDays,
      allowed_hosts: options.allowedHost,
    },
  });
  const processors = (await Promise.all((options.processor ?? []).map(loadProcessors))).flat();
  const isNew = !existsSync(context.data_dir);
  const host = await open(context, settings, processors);
  process.on('SIGHUP', () => undefined); // a terminal that closes does not end the server
  await sayHello(context, host, settings, isNew);
  await sayRecovery(context, host);
  return await untilEnd(context, host, 'Stopped. Nothing is lost: sheaf up goes on.');
}

async function open(
  context: Context,
  settings: Settings,
  processors: Awaited<ReturnType<typeof loadProcessors>>,
): Promise<Host> {
  try {
    return await startHost({
      ...settings,
      data_dir: context.data_dir,
      work: true,
      processors,
      drain_ms: DRAIN_MS,
    });
  } catch (error) {
    if (errorCode(error) === 'already_running')
      throw taken(context.data_dir, readAnnouncement(context.data_dir), error);
    throw portFailure(error, settings);
  }
}

function portFailure(error: unknown, { port, host }: Settings): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error;
  const reasons: Record<string, string> = {
    EADDRINUSE: 'another program has it',
    EACCES: 'this user may not listen there',
    EADDRNOTAVAIL: 'this machine has no such address',
  };
  const reason = reasons[String(error.code)];
  if (reason === undefined) return error;
  return new SheafError(
    'bad_config',
    `cannot listen on ${host}:${port} (${reason})`,
    { hint: `sheaf up --port ${port + 1}, or --port 0 for any that is free` },
    error,
  );
}

async function sayHello(
  context: Context,
  { url, engine }: Host,
  settings: Settings,
  isNew: boolean,
): Promise<void> {
  const { bavail, blocks } = await statfs(nearestFolder(context.data_dir));
  const free = blocks === 0 ? 100 : Math.round((bavail / blocks) * 100);
  const { median } = measureFsync(context.data_dir);
  const tick = context.terminal.paint('green', '✓');
  answer(context, { url, pid: process.pid, data_dir: context.data_dir, recovery: engine.recovery });
  say(
    context,
    ` ${tick} Node ${process.versions.node} · ${databaseText(await engine.about())} · disk ${free} % free · fsync ${median.toFixed(1)} ms`,
  );
  say(
    context,
    ` ${tick} Data in ${shown(context.data_dir)}${isNew ? ' (new)' : ''}   ${tick} ${settings.concurrency} at once   ${tick} ${plural(engine.processors().length, 'processor')}, ${plural(engine.templates().length, 'template')}`,
  );
  say(context, ` Listens   ${context.terminal.paint('bold', url)}`);
  say(context, ' Try       sheaf demo       12 sample photographs, a few seconds');
  say(context, ' Or        sheaf run thumbnails ./my-photos');
  say(context, ' ^C stops safely: running items finish or go back in line.');
}

/** What the last end of the server left, in plain words. */
async function sayRecovery(context: Context, { engine }: Host): Promise<void> {
  const { leases, recovered, interrupted, poisoned } = engine.recovery;
  if (recovered.length > 0) {
    say(
      context,
      ` ↻ The last server ended in the middle of its work: ${plural(recovered.length, 'batch goes', 'batches go')} on where it was.`,
    );
  } else if (leases > 0)
    say(context, ' ↻ The last server ended in the middle of its work; what it held is free again.');
  for (const id of interrupted) {
    const { name } = await engine.get({ batch_id: id });
    say(context, ` ‖ "${clean(name)}" waits for your review: sheaf recover   (${id})`);
  }
  if (poisoned > 0)
    say(
      context,
      ` ✗ ${plural(poisoned, 'item')} ended the server too often and will not run again: sheaf list --status partially_completed,failed`,
    );
}
