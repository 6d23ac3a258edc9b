import { existsSync } from 'node:fs';
import type { Call } from '../command.ts';
import { connect, shown } from '../connect.ts';
import { answer, say } from '../context.ts';
import { discover } from '../place.ts';
import { FINAL_STATUSES, OPEN_STATUSES } from '../resolve.ts';
import { plural } from '../view/format.ts';

/** `sheaf` alone: how things stand, and what to do next. */
export async function home({ context }: Call): Promise<number> {
  const bold = (text: string) => context.terminal.paint('bold', text);
  if (context.server === null && !existsSync(context.data_dir)) {
    answer(context, { server: null, data_dir: context.data_dir, active: 0, finished: 0 });
    say(
      context,
      `Sheaf runs batches: many items, one processor. There is no data here yet (${shown(context.data_dir)}).`,
    );
    say(context);
    say(context, `  ${bold('sheaf demo')}                        12 photographs, a few seconds`);
    say(context, `  ${bold('sheaf run thumbnails ./my-photos')}  your own`);
    say(context, `  ${bold('sheaf up')}                          a server that stays`);
    say(context, `  ${bold('sheaf help')}                        everything else`);
    return 0;
  }
  const running = context.server === null ? await discover(context.data_dir) : null;
  const { client, close } = await connect(context);
  try {
    const [active, finished] = await Promise.all([
      client.list({ status: OPEN_STATUSES, limit: 1 }),
      client.list({ status: FINAL_STATUSES, limit: 1 }),
    ]);
    const server = context.server ?? running?.url ?? null;
    answer(context, {
      server,
      data_dir: context.data_dir || null,
      active: active.total,
      finished: finished.total,
    });
    say(
      context,
      server === null
        ? `No server runs on ${shown(context.data_dir)}. Start one: ${bold('sheaf up')}`
        : `Server   ${server}${running === null ? '' : ` (process ${running.pid})`}`,
    );
    say(
      context,
      `Batches  ${plural(active.total, 'active', 'active')} · ${plural(finished.total, 'finished', 'finished')}   ${bold('sheaf list')}`,
    );
    say(context, `Help     ${bold('sheaf help')}`);
    return 0;
  } finally {
    await close();
  }
}
