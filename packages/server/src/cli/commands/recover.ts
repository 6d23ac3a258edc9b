import type { Batch, Wire } from '@sheaf/protocol';
import type { Call } from '../command.ts';
import { withConnection } from '../connect.ts';
import { answer, note, say } from '../context.ts';
import { resolveBatches } from '../resolve.ts';
import { clean } from '../view/clean.ts';
import { count, plural } from '../view/format.ts';

type Flags = { resume?: boolean; cancel?: boolean };

/** `sheaf recover`: shows what a restart left for review; resumes or cancels it. */
export async function recover({ context, args, options }: Call<Flags>): Promise<number> {
  return await withConnection(context, {}, async ({ client, isWorking }) => {
    const waiting = args.length > 0 ? await resolveBatches(client, args) : await interrupted(client);
    const done: Wire<Batch>[] = [];
    for (const batch of waiting) {
      const left = `${count(batch.completed_items)} of ${plural(batch.total_items, 'item')} done`;
      if (options.resume) done.push(await client.resume(batch.id));
      else if (options.cancel) done.push(await client.cancel(batch.id));
      const word = options.resume ? 'goes on' : options.cancel ? 'is cancelled' : 'waits for review';
      say(context, `${clean(batch.name)} ${batch.id} ${word}: ${left}`);
    }
    answer(context, { data: options.resume || options.cancel ? done : waiting });
    if (waiting.length === 0) say(context, 'Nothing waits for review.');
    else if (!options.resume && !options.cancel) {
      say(context, 'Go on: sheaf recover --resume   End: sheaf recover --cancel   (or name batches)');
    } else if (options.resume && !isWorking) note(context, 'Nothing works on them now: sheaf up');
    return 0;
  });
}

type Client = Parameters<Parameters<typeof withConnection>[2]>[0]['client'];

async function interrupted(client: Client): Promise<Wire<Batch>[]> {
  const found: Wire<Batch>[] = [];
  for (let offset = 0; ; ) {
    const page = await client.list({ status: ['paused'], limit: 200, offset });
    found.push(...page.data.filter(({ pause_reason }) => pause_reason === 'interrupted'));
    offset += page.data.length;
    if (page.data.length === 0 || offset >= page.total) return found;
  }
}
