import type { Client } from '@sheaf/client';
import { BATCH_STATUSES, type Batch, FINAL_STATUSES, isBatchId, isFinal, type Wire } from '@sheaf/protocol';
import { failure } from './failure.ts';

/** The states that are not final, as `--status active` means them. */
export const OPEN_STATUSES = BATCH_STATUSES.filter((status) => !isFinal(status));

export { FINAL_STATUSES };

/** Ids are shown with at least so many characters behind `bat_`. */
const LEAST_SHOWN = 6;

/**
 * The batch a person means: an id, a unique beginning or end of one, an exact name, `@last` (the
 * newest) or `@active` (the one that is not over).
 *
 * @throws not_found; usage when it may be several, which are listed.
 */
export async function resolveBatch(client: Client, text: string): Promise<Wire<Batch>> {
  if (isBatchId(text)) {
    return await client.get(text).catch((error) => {
      throw error.code === 'not_found' ? missing(text) : error;
    });
  }
  const found = await candidates(client, text);
  const [only] = found;
  if (only === undefined) throw missing(text);
  if (found.length > 1) throw ambiguous(text, found);
  return only;
}

/** Several references at once, in their order; a batch named twice is taken once. */
export async function resolveBatches(client: Client, texts: readonly string[]): Promise<Wire<Batch>[]> {
  const batches = new Map<string, Wire<Batch>>();
  for (const text of texts) {
    const batch = await resolveBatch(client, text);
    batches.set(batch.id, batch);
  }
  return [...batches.values()];
}

/** `BATCH` or `BATCH/SEQ`. */
export function splitItem(text: string): { batch: string; seq: number | null } {
  const match = /^(.+)\/(\d{1,9})$/.exec(text);
  return match === null ? { batch: text, seq: null } : { batch: match[1] ?? '', seq: Number(match[2]) };
}

async function candidates(client: Client, text: string): Promise<Wire<Batch>[]> {
  if (text === '@last') {
    return (await client.list({ sort_by: 'created_at', sort_order: 'DESC', limit: 1 })).data;
  }
  if (text === '@active') return (await client.list({ status: OPEN_STATUSES, limit: 200 })).data;
  if (text.startsWith('@')) {
    throw failure(
      'usage',
      `"${text}" is not known`,
      '@last is the newest batch, @active the one that is not over',
    );
  }
  return await client.find(text);
}

function missing(text: string) {
  const hint = text.startsWith('@') ? 'sheaf list --all' : undefined;
  return failure('not_found', `Batch not found: ${text}`, hint);
}

function ambiguous(text: string, found: readonly Wire<Batch>[]) {
  const shown = shortIds(found.map(({ id }) => id));
  const lines = found.slice(0, 10).map((batch) => `${shown.get(batch.id)} (${batch.name}, ${batch.status})`);
  const more = found.length > 10 ? ` and ${found.length - 10} more` : '';
  return failure(
    'usage',
    `"${text}" may be ${found.length} batches: ${lines.join('; ')}${more}`,
    'give more of the id',
    {
      candidates: found.map(({ id }) => id),
    },
  );
}

/** Each id cut as short as it stays unique among these. */
export function shortIds(ids: readonly string[]): Map<string, string> {
  const sorted = [...new Set(ids)].sort();
  const shared = (a: string, b: string | undefined) => {
    let length = 0;
    while (b !== undefined && length < a.length && a[length] === b[length]) length += 1;
    return length;
  };
  return new Map(
    sorted.map((id, index) => {
      const alike = Math.max(shared(id, sorted[index - 1]), shared(id, sorted[index + 1]));
      return [id, id.slice(0, Math.max('bat_'.length + LEAST_SHOWN, alike + 1))];
    }),
  );
}

/** One id cut as short as it stays unique among the batches made around the same time, its newest neighbours. */
export async function shortId(client: Client, id: string): Promise<string> {
  const { data } = await client.list({ sort_by: 'created_at', sort_order: 'DESC', limit: 200 });
  return shortIds([id, ...data.map((batch) => batch.id)]).get(id) ?? id;
}
