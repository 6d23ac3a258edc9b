import { batchLabel, waitsForItems } from '@sheaf/client';
import { BATCH_STATUSES, type Batch, errorCode, etaText, isFinal, nearest, type Wire } from '@sheaf/protocol';
import type { Call } from '../command.ts';
import { type Connection, connect } from '../connect.ts';
import { answer, note, say } from '../context.ts';
import { failure } from '../failure.ts';
import { FINAL_STATUSES, OPEN_STATUSES, shortIds } from '../resolve.ts';
import { parseSince, parseWhole } from '../values.ts';
import { bar } from '../view/bar.ts';
import { clean } from '../view/clean.ts';
import { count, percent } from '../view/format.ts';
import { table } from '../view/table.ts';

type Flags = {
  status?: string;
  customer?: string;
  processor?: string;
  label?: string;
  since?: string;
  search?: string;
  sort?: string;
  limit?: string;
  all?: boolean;
};

const PAGE = 200;

/** `sheaf list`: batches, newest first. */
export async function list({ context, options }: Call<Flags>): Promise<number> {
  const query = queryOf(options);
  const limit = options.limit === undefined ? 20 : parseWhole(options.limit, '--limit', 1, 1_000_000);
  const most = options.all ? Number.POSITIVE_INFINITY : limit;
  const connection = await connect(context).catch((error) => {
    // No folder yet means no batches yet: that is an answer, not a failure.
    if (errorCode(error) === 'not_found' && context.server === null) return null;
    throw error;
  });
  try {
    const { data, total } =
      connection === null ? { data: [], total: 0 } : await pages(connection, query, most);
    answer(context, { data, total });
    if (context.output !== 'text') return 0;
    if (context.quiet) {
      for (const { id } of data) context.terminal.out(id);
      return 0;
    }
    if (data.length === 0) {
      const isNarrowed = Object.keys(query).length > 2;
      say(
        context,
        isNarrowed
          ? 'No batch fits. Without filters:  sheaf list --all'
          : 'No batches yet. Try  sheaf demo, or  sheaf run thumbnails ./my-photos',
      );
      return 0;
    }
    for (const line of await tableOf(data, connection, context.progress === 'live')) say(context, line);
    if (connection !== null) await sayTotals(context, connection, data, total);
    return 0;
  } finally {
    await connection?.close();
  }
}

function queryOf(flags: Flags): Record<string, string | readonly string[]> {
  const status = flags.status === undefined ? undefined : statuses(flags.status);
  const since = flags.since === undefined ? undefined : parseSince(flags.since, Date.now()).slice(0, 10);
  return {
    sort_by: flags.sort ?? 'created_at',
    sort_order: flags.sort === 'name' ? 'ASC' : 'DESC',
    ...(status !== undefined && { status }),
    ...(flags.customer !== undefined && { customer_prefix: flags.customer }),
    ...(flags.processor !== undefined && { processor: flags.processor }),
    ...(flags.label !== undefined && { label: flags.label }),
    ...(since !== undefined && { date_from: since }),
    ...(flags.search !== undefined && { search: flags.search }),
  };
}

/** A comma list of states; `active` stands for those that are not final, `finished` for the others. */
function statuses(text: string): string[] {
  const known = [...BATCH_STATUSES, 'active', 'finished'];
  return text.split(',').flatMap((word): readonly string[] => {
    if (word === 'active') return OPEN_STATUSES;
    if (word === 'finished') return FINAL_STATUSES;
    if (known.includes(word)) return [word];
    const near = nearest(word, known);
    throw failure(
      'usage',
      `"${word}" is no state of a batch`,
      `${near.length > 0 ? `did you mean ${near.join(', ')}? ` : ''}known: ${known.join(', ')}`,
    );
  });
}

async function pages({ client }: Connection, query: object, most: number) {
  const data: Wire<Batch>[] = [];
  for (;;) {
    const page = await client.list({
      ...query,
      limit: Math.min(PAGE, most - data.length),
      offset: data.length,
    });
    data.push(...page.data);
    if (page.data.length === 0 || data.length >= Math.min(page.total, most))
      return { data, total: page.total };
  }
}

async function tableOf(
  data: readonly Wire<Batch>[],
  connection: Connection | null,
  isLive: boolean,
): Promise<string[]> {
  const ids = shortIds(data.map(({ id }) => id));
  const left = new Map<string, string>();
  for (const batch of data) {
    if (batch.status !== 'running' || waitsForItems(batch)) continue;
    if (connection === null || left.size >= 20) continue;
    const { estimated_time_remaining_ms: eta } = await connection.client.progress(batch.id);
    left.set(batch.id, etaText(eta) ?? '…');
  }
  return table(
    [
      { title: 'ID' },
      { title: 'NAME', most: 40 },
      { title: 'STATUS', most: 44 },
      { title: 'PROGRESS' },
      { title: 'LEFT' },
      { title: 'ITEMS', side: 'right' },
      { title: 'FAILED', side: 'right' },
    ],
    data.map((batch) => {
      const { icon, label } = batchLabel(batch);
      const shape = bar(10, {
        completed: batch.completed_items,
        failed: batch.failed_items,
        total: batch.total_items,
      });
      return [
        // A program that reads this gets whole ids; a person short ones.
        isLive ? (ids.get(batch.id) ?? batch.id) : batch.id,
        clean(batch.name),
        `${icon} ${clean(label)}`,
        `${shape} ${percent(batch.percent_complete).padStart(4)}`,
        left.get(batch.id) ?? '–',
        count(batch.total_items),
        count(batch.failed_items),
      ];
    }),
  );
}

async function sayTotals(
  context: Call['context'],
  { client, isWorking }: Connection,
  data: readonly Wire<Batch>[],
  total: number,
): Promise<void> {
  const [active, finished] = await Promise.all([
    client.list({ status: OPEN_STATUSES, limit: 1 }),
    client.list({ status: FINAL_STATUSES, limit: 1 }),
  ]);
  const more =
    data.length < total ? ` · ${count(data.length)} of ${count(total)} shown (sheaf list --all)` : '';
  note(context, `${count(active.total)} active · ${count(finished.total)} finished${more}`);
  if (!isWorking && data.some(({ status }) => !isFinal(status) && status !== 'draft')) {
    note(context, 'Nothing works on them now: sheaf up');
  }
}
