import { batchLabel, type Client } from '@sheaf/client';
import { type Batch, isFinal, type UpdateBatch, type Wire } from '@sheaf/protocol';
import type { Call } from '../command.ts';
import { type Connection, withConnection } from '../connect.ts';
import { answer, type Context, confirm, note, say } from '../context.ts';
import { failure } from '../failure.ts';
import { loadProcessors } from '../processor-file.ts';
import { resolveBatches } from '../resolve.ts';
import { parsePriority, parseRateLimit, parseWhole } from '../values.ts';
import { rateText } from '../view/batch-lines.ts';
import { clean } from '../view/clean.ts';
import { count, plural } from '../view/format.ts';
import { goOn, needProcessor, type WatchFlags } from '../work-on.ts';

/** `sheaf start`: sends drafts to work. */
export async function start(call: Call<WatchFlags>): Promise<number> {
  return await sendToWork(call, (client, id) => client.start(id), 'started');
}

/** `sheaf resume`: goes on with paused batches, and here with any that nobody works on. */
export async function resume(call: Call<WatchFlags>): Promise<number> {
  return await sendToWork(call, (client, id) => client.resume(id), 'goes on');
}

/** `sheaf seal`: closes an open batch for more items. */
export async function seal(call: Call): Promise<number> {
  return await steer(call, (client, id) => client.seal(id), 'is closed for more items');
}

/** `sheaf pause`: nothing starts any more; running items finish, or with `--now` go back in line. */
export async function pause(call: Call<{ now?: boolean; force?: boolean }>): Promise<number> {
  const { now = false, force = false } = call.options;
  const how = { mode: now ? ('now' as const) : ('drain' as const), ...(force && { force }) };
  return await steer(call, (client, id) => client.pause(id, how), 'is paused');
}

/** `sheaf priority`: 0–9, higher goes first. */
export async function priority(call: Call): Promise<number> {
  const value = parsePriority(call.args[1] ?? '');
  const one = { ...call, args: call.args.slice(0, 1) };
  return await steer(one, (client, id) => client.update(id, { priority: value }), `has priority ${value}`);
}

/** `sheaf limit`: how many items run at the same time, and how many may start in a time. */
export async function limit(call: Call<{ concurrency?: string; rateLimit?: string }>): Promise<number> {
  const { concurrency, rateLimit } = call.options;
  const fields: UpdateBatch = {
    ...(concurrency !== undefined && { concurrency: parseWhole(concurrency, '--concurrency', 1, 1_000) }),
    ...(rateLimit !== undefined && { rate_limit: parseRateLimit(rateLimit) }),
  };
  if (Object.keys(fields).length === 0) {
    throw failure('usage', 'nothing to limit is named', 'for example sheaf limit @last --concurrency 2');
  }
  return await steer(call, (client, id) => client.update(id, fields), limitText(fields));
}

function limitText({ concurrency, rate_limit }: UpdateBatch): string {
  const words = [
    ...(concurrency === undefined ? [] : [`runs up to ${plural(concurrency, 'item')} at the same time`]),
    ...(rate_limit === undefined ? [] : [rateText(rate_limit) ?? 'starts as many as it can']),
  ];
  return words.join(' and ');
}

/** `sheaf cancel`: ends batches at once; says before what that means. */
export async function cancel({ context, args }: Call): Promise<number> {
  return await withConnection(context, {}, async ({ client }) => {
    const done: Wire<Batch>[] = [];
    for (const batch of await resolveBatches(client, args)) {
      const isSure = isFinal(batch.status) || (await confirm(context, cancelText(batch)));
      if (isSure === false) {
        note(context, 'Nothing was cancelled.');
        continue;
      }
      const cancelled = await client.cancel(batch.id);
      done.push(cancelled);
      const { completed_items, failed_items, cancelled_items } = cancelled;
      say(
        context,
        `⊘ ${clean(cancelled.name)} is cancelled: ${count(completed_items)} completed, ${count(failed_items)} failed, ${count(cancelled_items)} not run.`,
      );
    }
    answer(context, { data: done });
    return 0;
  });
}

function cancelText(batch: Wire<Batch>): string {
  const stopped = batch.running_items > 0 ? `, ${count(batch.running_items)} running are stopped` : '';
  const kept = batch.completed_items > 0 ? ` ${plural(batch.completed_items, 'result')} stay.` : '';
  return `Cancel "${batch.name}"? ${count(batch.pending_items)} queued will not run${stopped}.${kept}`;
}

/** `sheaf rm`: deletes batches with their files; asks, or needs `--yes`. */
export async function rm({ context, args, options }: Call<{ force?: boolean }>): Promise<number> {
  return await withConnection(context, {}, async ({ client }) => {
    const deleted: string[] = [];
    for (const batch of await resolveBatches(client, args)) {
      const isSure = await confirm(
        context,
        `Delete "${batch.name}" with ${plural(batch.total_items, 'item')} and all its files?`,
      );
      if (isSure === null)
        throw failure(
          'usage',
          'deleting needs a yes, and nobody is here to ask',
          `sheaf rm ${batch.id} --yes`,
        );
      if (!isSure) {
        note(context, 'Nothing was deleted.');
        continue;
      }
      await client.delete(batch.id, options.force ? { force: true } : {});
      deleted.push(batch.id);
      say(context, `${clean(batch.name)} ${batch.id} is deleted.`);
    }
    answer(context, { data: deleted.map((id) => ({ id, deleted: true })) });
    return 0;
  });
}

type Step = (client: Client, id: string) => Promise<Wire<Batch>>;

/** One step for each of the batches, in their order; the first that is refused ends it. */
async function steer<Options>({ context, args }: Call<Options>, step: Step, words: string): Promise<number> {
  return await withConnection(context, {}, async ({ client }) => {
    const after = await stepAll(context, client, await resolveBatches(client, args), step, words);
    answer(context, { data: after });
    return 0;
  });
}

async function sendToWork(
  { context, args, options }: Call<WatchFlags>,
  step: Step,
  words: string,
): Promise<number> {
  const processors = await Promise.all((options.processor ?? []).map(loadProcessors));
  const connect = { work: options.watch !== false, processors: processors.flat() };
  return await withConnection(context, connect, async (connection: Connection) => {
    const batches = await resolveBatches(connection.client, args);
    for (const batch of batches) await needProcessor(context, connection, batch);
    const after = await stepAll(context, connection.client, batches, step, words);
    return await goOn(context, connection, { batches: after, typed: args }, options);
  });
}

async function stepAll(
  context: Context,
  client: Client,
  batches: readonly Wire<Batch>[],
  step: Step,
  words: string,
) {
  const after: Wire<Batch>[] = [];
  for (const { id } of batches) {
    const batch = await step(client, id);
    after.push(batch);
    const { icon, label, tone } = batchLabel(batch);
    say(context, `${context.terminal.paint(tone, icon)} ${clean(batch.name)} ${words}: ${clean(label)}`);
  }
  return after;
}
