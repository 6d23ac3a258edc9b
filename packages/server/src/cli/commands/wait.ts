import { batchLabel } from '@sheaf/client';
import { type Batch, isFinal, type Wire } from '@sheaf/protocol';
import type { Call } from '../command.ts';
import { type Connection, withConnection } from '../connect.ts';
import { answer, note, say } from '../context.ts';
import { failure } from '../failure.ts';
import { exitCode } from '../follow.ts';
import { exitCodeOf, listenForEnd } from '../interrupt.ts';
import { resolveBatches } from '../resolve.ts';
import { parseDuration } from '../values.ts';
import { endText } from '../view/batch-lines.ts';
import { clean } from '../view/clean.ts';
import { watch } from '../watch.ts';

type Flags = { timeout?: string };

/** `sheaf wait`: returns when all the batches are final, with the worst of their exit codes. */
export async function wait({ context, args, options }: Call<Flags>): Promise<number> {
  const timeout = options.timeout === undefined ? null : parseDuration(options.timeout, '--timeout');
  return await withConnection(context, {}, async (connection) => {
    const batches = await resolveBatches(connection.client, args.length === 0 ? ['@active'] : args);
    const open = batches.filter(({ status }) => !isFinal(status));
    if (open.length > 0 && !connection.isWorking) throw nobodyWorks(open);
    const interrupts = listenForEnd();
    const limit = timeout === null ? null : AbortSignal.timeout(timeout);
    const signal = AbortSignal.any([interrupts.first, ...(limit === null ? [] : [limit])]);
    const ended = await Promise.all(batches.map((batch) => endOf(connection, batch, signal)));
    interrupts.stop();
    if (interrupts.signal !== null) return exitCodeOf(interrupts.signal);
    const late = ended.filter(({ status }) => !isFinal(status));
    if (late.length > 0)
      throw failure(
        'wait_timeout',
        `${options.timeout} are over; ${late.map(({ id }) => id).join(', ')} go on`,
      );
    for (const batch of ended) {
      const { icon, tone } = batchLabel(batch);
      say(context, `${context.terminal.paint(tone, icon)} ${clean(batch.name)}  ${endText(batch)}`);
    }
    answer(context, { data: ended });
    if (batches.length === 0) note(context, 'Nothing to wait for.');
    return Math.max(0, ...ended.map(exitCode));
  });
}

async function endOf({ client }: Connection, batch: Wire<Batch>, signal: AbortSignal): Promise<Wire<Batch>> {
  let last = batch;
  if (isFinal(batch.status)) return batch;
  for await (const snapshot of watch(client, batch.id, { signal, gap_ms: 500 })) last = snapshot.batch;
  return last;
}

function nobodyWorks(open: readonly Wire<Batch>[]) {
  return failure(
    'unreachable',
    `nothing works on ${open.map(({ id }) => id).join(', ')}`,
    'start a server with  sheaf up, or go on here with  sheaf resume',
  );
}
