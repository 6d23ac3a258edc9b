import { batchLabel, type Client } from '@sheaf/client';
import { type Batch, type Cause, isFinal, type Wire } from '@sheaf/protocol';
import { shown } from './connect.ts';
import { type Context, say } from './context.ts';
import type { Downloaded } from './download.ts';
import { causeLines, endText, retryCommand } from './view/batch-lines.ts';
import { bytes, plural } from './view/format.ts';
import type { WorkView } from './view/work-view.ts';

export type Ending = {
  batch: Wire<Batch>;
  causes: Wire<Cause>[];
  downloaded: Downloaded | null;
  /** How to name the batch in the next command. */
  reference: string;
  /** Whether there are outputs to fetch that this command did not fetch. @default false */
  has_outputs?: boolean;
  /** Whether to say what can be done next. @default true */
  has_next?: boolean;
};

/** Says how a batch ended, what failed and what helps. A log has the end already: it gets what is next. */
export function sayEnding(context: Context, ending: Ending, view: Pick<WorkView, 'log'>): void {
  const next = ending.has_next === false ? [] : nextSteps(ending);
  if (context.progress !== 'live') {
    for (const step of next) view.log(`next ${step}`);
    return;
  }
  const { batch, causes, downloaded } = ending;
  const { paint } = context.terminal;
  const { icon, tone } = batchLabel(batch);
  say(context, `${paint(tone, icon)} ${paint('bold', endText(batch, downloaded?.durations))}`);
  for (const line of causeLines(causes, paint)) say(context, `  ${line}`);
  if (downloaded !== null && downloaded.files > 0) {
    say(context, `  Outputs  ${shown(downloaded.dir)}  (${outputsText(downloaded)})`);
  }
  for (const step of next) say(context, `  Next     ${step}`);
}

/** Whether a batch has outputs, by its first completed item. */
export async function hasOutputs(client: Client, batch: Wire<Batch>): Promise<boolean> {
  if (batch.completed_items === 0) return false;
  const { data } = await client.items(batch.id, { status: ['completed'], limit: 1 });
  return (data[0]?.outputs.length ?? 0) > 0;
}

/** `1,201 files, 212 MB`, and how many of them were there before. */
export function outputsText({ files, bytes: size, kept }: Downloaded): string {
  const before = kept > 0 ? `, ${kept === files ? 'all' : kept} there before` : '';
  return `${plural(files, 'file')}, ${bytes(size)}${before}`;
}

/** The commands that make sense now. */
function nextSteps({ batch, causes, reference, downloaded, has_outputs = false }: Ending): string[] {
  if (batch.status === 'awaiting_approval') return [`somebody has to approve it`];
  if (batch.status === 'paused') {
    const look = batch.failed_items > 0 ? [`sheaf items ${reference} --failed`] : [];
    return [`sheaf resume ${reference}`, ...look];
  }
  if (!isFinal(batch.status)) return [`sheaf status ${reference} -w`];
  const steps = causes.slice(0, 3).map((cause) => retryCommand(reference, cause, causes));
  if (has_outputs) steps.push(`sheaf download ${reference}`);
  const hasResults = downloaded?.files === 0 && batch.completed_items > 0;
  return hasResults ? [...steps, `sheaf items ${reference} --jsonl   (the results)`] : steps;
}
