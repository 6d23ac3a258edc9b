import type { Batch, Wire } from '@sheaf/protocol';
import type { Connection } from './connect.ts';
import { answer, type Context, note } from './context.ts';
import { failure } from './failure.ts';
import { exitCodeAfter, follow } from './follow.ts';
import { splitItem } from './resolve.ts';
import { hasOutputs, sayEnding } from './summary.ts';
import { clean } from './view/clean.ts';
import { openWorkView } from './view/work-view.ts';

/** Flags of the commands that send batches to work (`start`, `resume`, `retry`). */
export type WatchFlags = { watch?: boolean; processor?: string[] };

/**
 * Sees to it that whoever works has the processor: without it a batch would wait for ever.
 *
 * @throws unknown_processor where this process does the work.
 */
export async function needProcessor(
  context: Context,
  connection: Connection,
  batch: Wire<Batch>,
): Promise<void> {
  if (!connection.isWorking) return;
  const processors = await connection.client.processors();
  if (processors.some(({ name }) => name === batch.processor)) return;
  const what = `the processor "${batch.processor}" of ${batch.name}`;
  if (connection.own !== null) {
    throw failure(
      'unknown_processor',
      `${what} is not here`,
      'name the file that exports it:  --processor FILE',
    );
  }
  note(context, clean(`The server does not have ${what}; the batch waits for it: sheaf up --processor FILE`));
}

/** Watches the batches to their end, one after the other, or says who goes on with them. */
export async function goOn(
  context: Context,
  connection: Connection,
  { batches, typed }: { batches: readonly Wire<Batch>[]; typed: readonly string[] },
  flags: { watch?: boolean },
): Promise<number> {
  const isWatched = flags.watch ?? (connection.own !== null || context.progress === 'live');
  if (!isWatched) {
    if (!connection.isWorking)
      note(context, 'Nothing works on it now: sheaf up, or sheaf resume without --no-watch');
    answer(context, { data: batches });
    return 0;
  }
  const codes: number[] = [];
  const ended: Wire<Batch>[] = [];
  for (const batch of batches) {
    const view = openWorkView(context, { footer: footerFor(connection) });
    const followed = await follow(connection, batch.id, { view, until_still: true }).finally(() =>
      view.close(),
    );
    codes.push(exitCodeAfter(followed));
    const { snapshot, ended_by } = followed;
    if (ended_by !== null) {
      note(
        context,
        connection.own === null
          ? 'Stopped watching; the batch goes on.'
          : 'Stopped; the batch is kept. Go on: sheaf resume, or sheaf up',
      );
      return exitCodeAfter(followed);
    }
    if (snapshot === null) continue;
    ended.push(snapshot.batch);
    sayEnding(
      context,
      {
        batch: snapshot.batch,
        causes: snapshot.causes,
        downloaded: null,
        // As it was typed, where that can only be this one.
        reference: batches.length === 1 && typed.length === 1 ? splitItem(typed[0] ?? '').batch : batch.id,
        has_outputs: await hasOutputs(connection.client, snapshot.batch),
      },
      view,
    );
  }
  answer(context, { data: ended });
  return Math.max(0, ...codes);
}

function footerFor({ own }: Connection): string {
  return own === null
    ? '^C stops watching; the batch goes on.'
    : '^C finishes what runs and stops; the batch is kept.';
}
