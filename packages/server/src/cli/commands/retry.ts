import { type Batch, errorCode, type Retry, type Wire } from '@sheaf/protocol';
import { causesFor } from '../causes.ts';
import type { Call } from '../command.ts';
import { type Connection, withConnection } from '../connect.ts';
import { type Context, say } from '../context.ts';
import { failure } from '../failure.ts';
import { loadProcessors } from '../processor-file.ts';
import { resolveBatch, splitItem } from '../resolve.ts';
import { parseParams } from '../values.ts';
import { clean } from '../view/clean.ts';
import { plural } from '../view/format.ts';
import { goOn, needProcessor, type WatchFlags } from '../work-on.ts';

type Flags = WatchFlags & { failed?: boolean; cancelled?: boolean; cause?: string; param?: string[] };

/** `sheaf retry`: sends failed items back to work, all of them, those of one cause, or one by one. */
export async function retry({ context, args, options }: Call<Flags>): Promise<number> {
  const processors = (await Promise.all((options.processor ?? []).map(loadProcessors))).flat();
  return await withConnection(context, { work: options.watch !== false, processors }, async (connection) => {
    const after: Wire<Batch>[] = [];
    for (const [reference, seqs] of byBatch(args)) {
      const batch = await resolveBatch(connection.client, reference);
      const { retried, batch: sent } = await sendBack(context, connection, { batch, seqs, flags: options });
      after.push(sent);
      say(context, `↻ Re-queued: ${clean(sent.name)}, ${plural(retried, 'item')} (round ${sent.round})`);
    }
    return await goOn(context, connection, { batches: after, typed: args }, options);
  });
}

/** `BATCH` and `BATCH/SEQ` words, gathered by batch; null stands for the whole batch. */
function byBatch(references: readonly string[]): Map<string, number[] | null> {
  const result = new Map<string, number[] | null>();
  for (const text of references) {
    const { batch, seq } = splitItem(text);
    const known = result.get(batch);
    result.set(batch, seq === null || known === null ? null : [...(known ?? []), seq]);
  }
  return result;
}

async function sendBack(
  context: Context,
  connection: Connection,
  { batch, seqs, flags }: { batch: Wire<Batch>; seqs: number[] | null; flags: Flags },
) {
  const { client } = connection;
  const config = parseParams(flags.param ?? []);
  const what: Retry = {
    ...(seqs !== null && { items: seqs }),
    ...(flags.cancelled && { status: flags.failed ? ['failed', 'cancelled'] : ['cancelled'] }),
    ...(Object.keys(config).length > 0 && { config }),
  };
  const causes = flags.cause === undefined ? [] : await causesFor(client, batch.id, flags.cause);
  const wanted: Retry[] =
    flags.cause === undefined ? [what] : causes.map(({ cause }) => ({ ...what, cause }));
  const isAll = seqs === null && flags.cause === undefined && !flags.cancelled;
  if (isAll && batch.failed_items === 0) throw nothingToRetry(batch);
  await needProcessor(context, connection, batch);
  let retried = 0;
  let after = batch;
  for (const one of wanted) {
    const answer = await client.retry(batch.id, one).catch((error) => {
      throw errorCode(error) === 'wrong_status' && batch.failed_items === 0 ? nothingToRetry(batch) : error;
    });
    retried += answer.retried;
    after = answer.batch;
  }
  return { retried, batch: after };
}

function nothingToRetry(batch: Wire<Batch>) {
  const hint =
    batch.cancelled_items > 0 ? `to run the cancelled ones:  sheaf retry ${batch.id} --cancelled` : undefined;
  return failure('wrong_status', 'No failed items to retry', hint, { current_status: batch.status });
}
