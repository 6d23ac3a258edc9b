import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEngine } from '@sheaf/engine';
import { packs } from '@sheaf/packs';
import type { Call } from '../command.ts';
import { withConnection } from '../connect.ts';
import { answer, note, say } from '../context.ts';
import { failure } from '../failure.ts';
import { databaseText } from '../machine.ts';
import { loadProcessors } from '../processor-file.ts';
import { DRAIN_MS, type ServeFlags, settingsOf, untilEnd } from '../serve.ts';
import { clean } from '../view/clean.ts';
import { plural } from '../view/format.ts';
import { table } from '../view/table.ts';

/** `sheaf worker`: joins a cluster and works until it is told to end. */
export async function worker({ context, globals, options }: Call<ServeFlags>): Promise<number> {
  const settings = settingsOf(globals, options);
  if (settings.database === null) {
    throw failure(
      'usage',
      'a worker joins a cluster, and there is no database of one',
      'sheaf worker --database postgres://…, or SHEAF_DATABASE; alone, sheaf up works by itself',
    );
  }
  const processors = (await Promise.all((options.processor ?? []).map(loadProcessors))).flat();
  // A worker keeps nothing: its folder holds what its items are working on.
  const scratch = globals.data === undefined ? await mkdtemp(join(tmpdir(), 'sheaf-worker-')) : null;
  try {
    const engine = await createEngine({
      data_dir: scratch ?? context.data_dir,
      database: settings.database,
      files: settings.files,
      pools: settings.pools,
      packs,
      processors,
      concurrency: settings.concurrency,
      recovery: settings.recovery,
      retention_days: settings.retention_days,
      drain_ms: DRAIN_MS,
      onError: (error) =>
        note(context, `problem: ${clean(error instanceof Error ? error.message : String(error))}`),
    });
    engine.failed.catch(() => undefined);
    process.on('SIGHUP', () => undefined); // a terminal that closes does not end the worker
    const tick = context.terminal.paint('green', '✓');
    answer(context, { pid: process.pid, pools: settings.pools, concurrency: settings.concurrency });
    say(context, ` ${tick} Node ${process.versions.node} · ${databaseText(await engine.about())}`);
    say(
      context,
      ` ${tick} Works for ${settings.pools.join(', ')}   ${tick} ${settings.concurrency} at once   ${tick} ${plural(engine.processors().length, 'processor')}`,
    );
    say(context, ' ^C stops safely: running items finish or go back in line.');
    const host = { engine, close: (how: { drain_ms: number }) => engine.close(how) };
    return await untilEnd(context, host, 'Stopped. What was not finished is with the other workers.');
  } finally {
    if (scratch !== null) await rm(scratch, { recursive: true, force: true });
  }
}

/** `sheaf worker list`: who works in this cluster. */
export async function listWorkers({ context }: Call): Promise<number> {
  return await withConnection(context, { missing: 'scratch' }, async ({ client }) => {
    const workers = await client.workers();
    answer(context, { data: workers });
    if (workers.length === 0) say(context, 'Nobody works here now: sheaf up, or sheaf worker');
    const rows = workers.map((one) => [
      clean(one.name),
      one.version,
      one.pools.map(clean).join(', '),
      `${one.running}/${one.concurrency}`,
      one.seen_at.slice(11, 19),
    ]);
    const columns = ['WORKER', 'VERSION', 'POOLS', 'RUNNING', 'SEEN (UTC)'].map((title) => ({ title }));
    if (rows.length > 0) for (const line of table(columns, rows)) say(context, line);
    return 0;
  });
}
