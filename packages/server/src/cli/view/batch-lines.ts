import { batchLabel } from '@sheaf/client';
import {
  type Batch,
  type Cause,
  etaText,
  exactTime,
  isFinal,
  type Progress,
  type RateLimit,
  type Wire,
} from '@sheaf/protocol';
import { bar } from './bar.ts';
import { clean } from './clean.ts';
import { bytes, count, duration, percent, plural, rate, shellWord } from './format.ts';
import type { Terminal } from './terminal.ts';

export type Paint = Terminal['paint'];

const NAMES_SHOWN = 2;
const CAUSES_SHOWN = 5;

/** The icon and the words of a batch's state, coloured. */
export function stateText(batch: Wire<Batch>, paint: Paint): string {
  const { icon, label, tone } = batchLabel(batch);
  return paint(tone, `${icon} ${clean(label)}`);
}

/** The line of a batch at work: bar, counts, pace, time left. Shorter on a narrow terminal. */
export function workLine(batch: Wire<Batch>, progress: Wire<Progress>, paint: Paint, width: number): string {
  const { completed_items, failed_items, total_items } = batch;
  const finished = total_items - batch.pending_items - batch.running_items;
  const cells = Math.max(6, Math.min(26, width - 60));
  const facts = [`${count(finished)}/${count(total_items)} ${percent(batch.percent_complete)}`];
  if (batch.status === 'running') {
    facts.push(paceText(progress), leftText(progress));
  }
  if (failed_items > 0) facts.push(paint('red', `${count(failed_items)} failed`));
  const filled = bar(cells, { completed: completed_items, failed: failed_items, total: total_items });
  return `${filled} ${facts.filter((fact) => fact !== '').join('  ')}`;
}

/** What a rate limit says: `starts up to 10 items in 1 s`. */
export function rateText(limit: RateLimit | null): string | null {
  return limit && `starts up to ${plural(limit.items, 'item')} in ${exactTime(limit.per_ms)}`;
}

function paceText(progress: Wire<Progress>): string {
  if (progress.items_per_second <= 0) return '';
  const data = progress.bytes_per_second >= 1000 ? ` ${bytes(progress.bytes_per_second)}/s` : '';
  return `${rate(progress.items_per_second)}${data}`;
}

function leftText(progress: Wire<Progress>): string {
  const eta = etaText(progress.estimated_time_remaining_ms);
  return eta === null ? '' : `${eta} left`;
}

/** The items at work now: the first few, and how many more. */
export function runningLine(progress: Wire<Progress>): string | null {
  const { running } = progress;
  if (running.length === 0) return null;
  const names = running
    .slice(0, NAMES_SHOWN)
    .map(({ name, step, percent: done }) =>
      [clean(name), step === null ? '' : clean(step), done === null ? '' : `${Math.round(done)}%`]
        .filter((part) => part !== '')
        .join(' '),
    );
  const more = running.length - names.length;
  return [...names, ...(more > 0 ? [`+${count(more)}`] : [])].join(' · ');
}

/** Why items failed, most frequent first: `3 × code  message (name, …)`. */
export function causeLines(causes: readonly Wire<Cause>[], paint: Paint): string[] {
  const lines = causes.slice(0, CAUSES_SHOWN).map((cause) => {
    const names = cause.samples.slice(0, NAMES_SHOWN).map(clean).join(', ');
    const more = cause.count > NAMES_SHOWN ? ', …' : '';
    const where = names === '' ? '' : paint('dim', ` (${names}${more})`);
    return `${paint('red', `${count(cause.count)} × ${clean(cause.code)}`)}  ${clean(cause.message)}${where}`;
  });
  const rest = causes.slice(CAUSES_SHOWN);
  const restCount = rest.reduce((sum, cause) => sum + cause.count, 0);
  return restCount > 0
    ? [...lines, `${plural(restCount, 'failure')} of ${plural(rest.length, 'other cause')}`]
    : lines;
}

/** What to type to send one cause back to work: by its code where that says enough. */
export function retryCommand(reference: string, cause: Wire<Cause>, causes: readonly Wire<Cause>[]): string {
  const isOnly = causes.filter(({ code }) => code === cause.code).length === 1;
  return `sheaf retry ${reference} --cause ${shellWord(clean(isOnly ? cause.code : cause.cause))}`;
}

/** How a batch ended, in one line of honest figures. */
export function endText(batch: Wire<Batch>, durations: readonly number[] = []): string {
  const { label } = batchLabel(batch);
  const done = `${count(batch.completed_items)} of ${plural(batch.total_items, 'item')}`;
  if (!isFinal(batch.status)) return `${label}: ${done} done`;
  const finished = batch.completed_items + batch.failed_items;
  const figures: string[] = [];
  if (finished > 0 && batch.ran_ms > 0)
    figures.push(`${oneDecimal((finished / batch.ran_ms) * 1000)} items/s`);
  const slow = percentile(durations, 0.95);
  if (slow !== null) figures.push(`p95 ${duration(slow)}`);
  const tail = figures.length === 0 ? '' : ` (${figures.join(', ')})`;
  return `${label}: ${done} in ${duration(batch.ran_ms)}${tail}`;
}

/** The value that this share of the numbers does not exceed; null for too few to say. */
function percentile(numbers: readonly number[], share: number): number | null {
  if (numbers.length < 20) return null;
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? null;
}

function oneDecimal(number: number): string {
  return number >= 100 ? count(number) : number.toFixed(1);
}
