import { waitsForItems } from '@sheaf/client';
import { type Batch, type Cause, isFinal, type Wire } from '@sheaf/protocol';
import type { Call } from '../command.ts';
import { type Connection, withConnection } from '../connect.ts';
import { answer, type Context, note, say } from '../context.ts';
import { exitCodeAfter, follow } from '../follow.ts';
import { resolveBatch, shortId } from '../resolve.ts';
import { hasOutputs, sayEnding } from '../summary.ts';
import { causeLines, rateText, retryCommand, runningLine, stateText, workLine } from '../view/batch-lines.ts';
import { clean } from '../view/clean.ts';
import { duration, moment } from '../view/format.ts';
import { fit } from '../view/width.ts';
import { openWorkView } from '../view/work-view.ts';
import { list } from './list.ts';

type Flags = { watch?: boolean };

/** `sheaf status`: one batch in a few lines, or with `-w` until it is final; without one, the list. */
export async function status({ context, globals, args, options }: Call<Flags>): Promise<number> {
  const [reference] = args;
  if (reference === undefined && !options.watch)
    return await list({ context, globals, args: [], options: {} });
  return await withConnection(context, {}, async (connection) => {
    const batch = await resolveBatch(connection.client, reference ?? '@active');
    if (options.watch) return await watchBatch(context, connection, batch, reference ?? batch.id);
    const causes = batch.failed_items > 0 ? await connection.client.causes(batch.id) : [];
    answer(context, { ...batch, causes });
    if (context.output === 'text' && !context.quiet)
      await sayBatch(context, connection, batch, causes, reference ?? '');
    return 0;
  });
}

/** Follows a batch that somebody works on; one that is over or that nobody works on is only told. */
export async function watchBatch(
  context: Context,
  connection: Connection,
  batch: Wire<Batch>,
  reference: string,
): Promise<number> {
  const isIdle = !connection.isWorking && !isFinal(batch.status);
  if (isIdle) {
    await sayBatch(context, connection, batch, [], reference);
    note(context, 'Nothing works on it now. Go on: sheaf resume, here and now, or sheaf up');
    return 8;
  }
  const view = openWorkView(context, { footer: '^C stops watching; the batch goes on.' });
  if (context.progress === 'live') view.log(await titleLine(context, connection, batch));
  const followed = await follow(connection, batch.id, { view, until_still: connection.own !== null }).finally(
    () => view.close(),
  );
  const { snapshot, ended_by } = followed;
  if (ended_by === null && snapshot !== null) {
    const { batch: last, causes } = snapshot;
    const ending = { batch: last, causes, downloaded: null, reference };
    sayEnding(context, { ...ending, has_outputs: await hasOutputs(connection.client, last) }, view);
    answer(context, { ...snapshot.batch, causes: snapshot.causes });
  }
  if (ended_by !== null) note(context, 'Stopped watching; the batch goes on.');
  return exitCodeAfter(followed);
}

async function sayBatch(
  context: Context,
  connection: Connection,
  batch: Wire<Batch>,
  causes: readonly Wire<Cause>[],
  reference: string,
): Promise<void> {
  const { paint, width } = context.terminal;
  const asked = await connection.client.progress(batch.id);
  // Where nobody works the time left is not a second away, whatever the pace was.
  const progress = connection.isWorking ? asked : { ...asked, estimated_time_remaining_ms: null };
  say(context, await titleLine(context, connection, batch));
  say(context, `  ${workLine(batch, progress, paint, width())}`);
  const running = runningLine(progress);
  if (running !== null) say(context, `  running  ${running}`);
  const settings = Object.entries(batch.config).map(
    ([key, value]) => `${key}=${fit(JSON.stringify(value), 40)}`,
  );
  say(
    context,
    `  ${clean(`${batch.processor}@${batch.processor_version}  ${settings.join(' ')}`.trim())}   by ${clean(batch.created_by)}`,
  );
  const limit = rateText(batch.policies.rate_limit);
  if (limit !== null && !isFinal(batch.status)) say(context, `  limit    ${limit}`);
  for (const line of causeLines(causes, paint)) say(context, `  ${line}`);
  for (const cause of causes.slice(0, 1)) say(context, `  next: ${retryCommand(reference, cause, causes)}`);
  if (batch.status === 'paused') say(context, `  next: sheaf resume ${reference}`);
  if (waitsForItems(batch)) {
    const rest = `sheaf add ${reference} PATH… --rest, after a stopped upload`;
    say(context, `  next: sheaf seal ${reference}, when no more come · ${rest}`);
  }
  if (!connection.isWorking && !isFinal(batch.status)) note(context, '  Nothing works on it now: sheaf up');
}

async function titleLine(context: Context, { client }: Connection, batch: Wire<Batch>): Promise<string> {
  const { paint } = context.terminal;
  const id = context.progress === 'live' ? await shortId(client, batch.id) : batch.id;
  return `${stateText(batch, paint)}  ${paint('bold', clean(batch.name))}  ${id}  ${timesText(batch)}`;
}

function timesText(batch: Wire<Batch>): string {
  const now = Date.now();
  const began = batch.started_at ?? batch.created_at;
  const start = moment(Date.parse(began), now);
  if (batch.completed_at === null) return batch.started_at === null ? `made ${start}` : `since ${start}`;
  return `${start} → ${moment(Date.parse(batch.completed_at), now)} (${duration(batch.ran_ms)})`;
}
