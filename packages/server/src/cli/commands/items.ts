import { type Client, itemLabel } from '@sheaf/client';
import { ITEM_STATUSES, type Item, type ItemStatus, nearest, type Wire } from '@sheaf/protocol';
import { causesFor } from '../causes.ts';
import type { Call } from '../command.ts';
import { type Connection, withConnection } from '../connect.ts';
import { answer, type Context, note, say } from '../context.ts';
import { failure } from '../failure.ts';
import { resolveBatch, splitItem } from '../resolve.ts';
import { parseWhole } from '../values.ts';
import { clean } from '../view/clean.ts';
import { bytes, count, duration } from '../view/format.ts';
import { table } from '../view/table.ts';

type Flags = {
  failed?: boolean;
  status?: string;
  cause?: string;
  search?: string;
  limit?: string;
  all?: boolean;
};

const PAGE = 200;

/** `sheaf items`: the items of a batch, or everything about one (`BATCH/SEQ`). */
export async function items({ context, args, options }: Call<Flags>): Promise<number> {
  const { batch: reference, seq } = splitItem(args[0] ?? '');
  return await withConnection(context, {}, async (connection) => {
    const batch = await resolveBatch(connection.client, reference);
    if (seq !== null) return await sayItem(context, connection, batch.id, seq);
    const limit = options.limit === undefined ? 50 : parseWhole(options.limit, '--limit', 1, 10_000_000);
    const wanted = statusesOf(options);
    const causes =
      options.cause === undefined ? [] : await causesFor(connection.client, batch.id, options.cause);
    const query: ItemQuery = {
      ...(wanted !== null && { status: wanted }),
      ...(options.search !== undefined && { search: options.search }),
    };
    const queries = options.cause === undefined ? [query] : causes.map(({ cause }) => ({ ...query, cause }));
    await sayItems(context, connection, batch.id, queries, options.all ? Number.POSITIVE_INFINITY : limit);
    return 0;
  });
}

function statusesOf(flags: Flags): ItemStatus[] | null {
  if (flags.failed) return ['failed'];
  if (flags.status === undefined) return null;
  return flags.status.split(',').map((word) => {
    const known = ITEM_STATUSES.find((status) => status === word);
    if (known !== undefined) return known;
    const near = nearest(word, ITEM_STATUSES);
    throw failure(
      'usage',
      `"${word}" is no state of an item`,
      `${near.length > 0 ? `did you mean ${near[0]}? ` : ''}known: ${ITEM_STATUSES.join(', ')}`,
    );
  });
}

type ItemQuery = NonNullable<Parameters<Client['items']>[1]>;

async function sayItems(
  context: Context,
  { client }: Connection,
  batchId: string,
  queries: readonly ItemQuery[],
  most: number,
): Promise<void> {
  const shown: Wire<Item>[] = [];
  let number = 0;
  for (const query of queries) {
    for await (const page of pagesOf(client, batchId, query)) {
      const wanted = page.slice(0, most - number);
      number += wanted.length;
      // Lines go out as they come: a million items need not fit into memory.
      if (context.output === 'jsonl') answer(context, { data: wanted });
      else shown.push(...wanted);
      if (number >= most || context.terminal.gone.aborted) break;
    }
  }
  if (context.output === 'json') answer(context, { data: shown });
  if (context.output !== 'text') return;
  if (shown.length === 0) return say(context, 'No items.');
  for (const line of tableOf(shown, context.terminal.width())) say(context, line);
  if (number >= most) note(context, `The first ${count(number)}; all of them: --all, or --limit N`);
}

async function* pagesOf(client: Client, batchId: string, query: ItemQuery): AsyncGenerator<Wire<Item>[]> {
  let after: string | null = null;
  do {
    const page: Awaited<ReturnType<Client['items']>> = await client.items(batchId, {
      ...query,
      limit: PAGE,
      ...(after !== null && { after }),
    });
    yield page.data;
    after = page.next;
  } while (after !== null);
}

function tableOf(shown: readonly Wire<Item>[], width: number): string[] {
  return table(
    [
      { title: '#', side: 'right' },
      { title: 'NAME', most: 40 },
      { title: 'TOOK', side: 'right' },
      { title: 'TRIES', side: 'right' },
      { title: 'OUT', side: 'right' },
      { title: 'STATUS', most: Math.max(30, width - 70) },
    ],
    shown.map((item) => {
      const { icon, label } = itemLabel(item);
      const out = item.outputs.reduce((sum, file) => sum + file.bytes, 0);
      return [
        count(item.seq),
        clean(item.name),
        item.duration_ms === null ? '–' : duration(item.duration_ms),
        count(item.attempt),
        item.outputs.length === 0 ? '–' : bytes(out),
        `${icon} ${clean(label)}`,
      ];
    }),
  );
}

async function sayItem(
  context: Context,
  { client }: Connection,
  batchId: string,
  seq: number,
): Promise<number> {
  const item = await client.item(batchId, seq).catch((error) => {
    throw error.code === 'not_found' ? failure('not_found', `Item not found: ${batchId}/${seq}`) : error;
  });
  answer(context, { ...item });
  const { paint } = context.terminal;
  const { icon, label, tone } = itemLabel(item);
  say(context, `${paint(tone, `${icon} ${clean(label)}`)}  ${paint('bold', clean(item.name))}  ${item.id}`);
  if (item.error !== null)
    say(
      context,
      `  ${paint('red', clean(item.error.code))} (${item.error.kind})  ${clean(item.error.message)}`,
    );
  for (const attempt of item.attempts) {
    say(
      context,
      `  attempt ${attempt.attempt}  ${attempt.finished_at}  ${clean(attempt.error.code)}: ${clean(attempt.error.message)}`,
    );
  }
  if (item.file !== null)
    say(context, `  input   ${clean(item.file.name)}  ${bytes(item.file.bytes)}  sha256 ${item.file.sha256}`);
  if (item.input !== null) say(context, `  input   ${clean(JSON.stringify(item.input))}`);
  for (const file of item.outputs)
    say(context, `  output  ${clean(file.name)}  ${bytes(file.bytes)}  sha256 ${file.sha256}`);
  if (item.result !== null) say(context, `  result  ${clean(JSON.stringify(item.result))}`);
  if (item.duration_ms !== null)
    say(context, `  took    ${duration(item.duration_ms)}, ${count(item.attempt)} tries`);
  return 0;
}
