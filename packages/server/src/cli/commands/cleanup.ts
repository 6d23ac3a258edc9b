import type { Client } from '@sheaf/client';
import type { Call } from '../command.ts';
import { withConnection } from '../connect.ts';
import { answer, confirm, note, say } from '../context.ts';
import { failure } from '../failure.ts';
import { FINAL_STATUSES } from '../resolve.ts';
import { parseWhole } from '../values.ts';
import { bytes, plural } from '../view/format.ts';

type Flags = { days?: string; dryRun?: boolean };

const DAY_MS = 86_400_000;

/** `sheaf cleanup`: deletes batches that ended long ago; shows first how many. */
export async function cleanup({ context, options }: Call<Flags>): Promise<number> {
  const days = options.days === undefined ? 7 : parseWhole(options.days, '--days', 0, 36_500);
  return await withConnection(context, {}, async ({ client }) => {
    const old = await endedBefore(client, Date.now() - days * DAY_MS);
    const words = `${plural(old.batches, 'batch', 'batches')} ended more than ${plural(days, 'day')} ago (${plural(old.items, 'item')}, ${bytes(old.bytes)} of input)`;
    if (options.dryRun || old.batches === 0) {
      say(context, `${words}${old.batches === 0 ? '' : '; nothing was deleted'}.`);
      answer(context, { days_old: days, cleaned_count: 0, would_clean: old.batches });
      return 0;
    }
    note(context, `${words}.`);
    const isSure = await confirm(context, 'Delete them with their files?');
    if (isSure === null)
      throw failure(
        'usage',
        'deleting needs a yes, and nobody is here to ask',
        `sheaf cleanup --days ${days} --yes`,
      );
    if (!isSure) {
      note(context, 'Nothing was deleted.');
      return 0;
    }
    const { cleaned_count } = await client.cleanup(days);
    say(
      context,
      `${plural(cleaned_count, 'batch', 'batches')} deleted. Their space on the disk comes free within minutes.`,
    );
    answer(context, { days_old: days, cleaned_count });
    return 0;
  });
}

async function endedBefore(client: Client, moment: number) {
  const sum = { batches: 0, items: 0, bytes: 0 };
  for (let offset = 0; ; ) {
    const page = await client.list({
      status: FINAL_STATUSES,
      sort_by: 'created_at',
      sort_order: 'ASC',
      limit: 200,
      offset,
    });
    for (const batch of page.data) {
      if (batch.completed_at === null || Date.parse(batch.completed_at) > moment) continue;
      sum.batches += 1;
      sum.items += batch.total_items;
      sum.bytes += batch.total_bytes;
    }
    offset += page.data.length;
    // A batch ends after it was made: behind the moment there is none to find.
    const isPast = page.data.some(({ created_at }) => Date.parse(created_at) > moment);
    if (page.data.length === 0 || offset >= page.total || isPast) return sum;
  }
}
