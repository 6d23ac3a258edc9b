import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, LogLine } from '@sheaf/client';
import { isFinal } from '@sheaf/protocol';
import type { Call } from '../command.ts';
import { withConnection } from '../connect.ts';
import { answer, type Context, note, say } from '../context.ts';
import { exitCodeOf, listenForEnd } from '../interrupt.ts';
import { resolveBatch, splitItem } from '../resolve.ts';
import { clean } from '../view/clean.ts';
import { clock } from '../view/format.ts';

type Flags = { follow?: boolean };

const PAGE = 200;
const FOLLOW_MS = 500;

/** `sheaf logs`: what the processors of a batch's items, or of one item, have written. */
export async function logs({ context, args, options }: Call<Flags>): Promise<number> {
  const { batch: reference, seq } = splitItem(args[0] ?? '');
  return await withConnection(context, {}, async ({ client, isWorking }) => {
    const batch = await resolveBatch(client, reference);
    const which = { batchId: batch.id, seq };
    if (!options.follow || !isWorking) {
      const { after, lines } = await sayLines(context, client, which, null);
      if (lines === 0 && after === null) note(context, 'No log lines.');
      return 0;
    }
    return await followLines(context, client, which);
  });
}

type Which = { batchId: string; seq: number | null };

async function followLines(context: Context, client: Client, which: Which): Promise<number> {
  const interrupts = listenForEnd();
  const end = AbortSignal.any([interrupts.first, context.terminal.gone]);
  try {
    let after: string | null = null;
    for (;;) {
      // Looked at before the lines, so that those of the very end are read too.
      const { status } = await client.get(which.batchId);
      after = (await sayLines(context, client, which, after)).after;
      if (isFinal(status) || end.aborted) break;
      await sleep(FOLLOW_MS, undefined, { signal: end }).catch(() => undefined);
    }
    return interrupts.signal === null ? 0 : exitCodeOf(interrupts.signal);
  } finally {
    interrupts.stop();
  }
}

/** Writes all lines behind `after`; answers where they end. */
async function sayLines(context: Context, client: Client, { batchId, seq }: Which, from: string | null) {
  let after = from;
  let lines = 0;
  const kept: LogLine[] = [];
  for (;;) {
    const page = await client.logs(batchId, {
      limit: PAGE,
      ...(seq !== null && { seq }),
      ...(after !== null && { after }),
    });
    lines += page.data.length;
    if (context.output === 'jsonl') answer(context, { data: page.data });
    if (context.output === 'json') kept.push(...page.data);
    for (const line of page.data) say(context, textOf(line, context));
    if (page.next === null) break;
    after = page.next;
    if (page.data.length === 0) break;
  }
  if (context.output === 'json') answer(context, { data: kept });
  return { after, lines };
}

function textOf(line: LogLine, { terminal: { paint } }: Context): string {
  return `${paint('dim', `${clock(Date.parse(line.at))} ${line.seq}#${line.attempt}`)} ${clean(line.text)}`;
}
