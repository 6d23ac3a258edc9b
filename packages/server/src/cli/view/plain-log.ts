import { waitsForItems, waitsForRate } from '@sheaf/client';
import { etaText, isFinal } from '@sheaf/protocol';
import type { Snapshot } from '../watch.ts';
import { clean } from './clean.ts';
import { bytes, clock, duration, rate } from './format.ts';
import type { WorkView } from './work-view.ts';

const STEP_PERCENT = 10;
const LONGEST_SILENCE_MS = 30_000;

/**
 * One line for each event worth keeping in a log: a change of state, every tenth of the work or half
 * a minute, the first failure of each cause, the end.
 */
export function createPlainLog(write: (line: string) => void, now: () => number = Date.now): WorkView {
  let status = '';
  let shownStep = -1;
  let shownUpload = -1;
  let lastAt = now();
  const known = new Set<string>();
  const log = (text: string) => {
    lastAt = now();
    write(`${clock(lastAt)} ${text}`);
  };
  const isSilent = () => now() - lastAt >= LONGEST_SILENCE_MS;

  return {
    upload(state) {
      const step = Math.floor(((state.bytes / Math.max(1, state.total_bytes)) * 100) / STEP_PERCENT);
      // A quick upload needs no steps of its own.
      const isDue = isSilent() || (state.isDone && shownUpload >= 0);
      if (!isDue || step === shownUpload) return;
      shownUpload = step;
      log(`upload ${state.files}/${state.total_files} rate=${inOneWord(bytes(state.bytes_per_second))}/s`);
    },
    show(snapshot) {
      const { batch, causes } = snapshot;
      // A draft that fills up is the upload's news, not the batch's.
      if (batch.status === 'draft') return;
      for (const cause of causes) {
        if (known.has(cause.cause)) continue;
        known.add(cause.cause);
        const sample = cause.samples[0] === undefined ? '' : ` (${clean(cause.samples[0])})`;
        log(`failure ${clean(cause.code)}: ${clean(cause.message)}${sample}`);
      }
      const step = Math.floor(batch.percent_complete / STEP_PERCENT);
      const isNewState = batch.status !== status;
      if (isFinal(batch.status)) {
        if (isNewState) log(endLine(snapshot));
      } else if (isNewState || step > shownStep || isSilent()) log(workLine(snapshot));
      status = batch.status;
      shownStep = step;
    },
    fetching(files, size, isDone) {
      if (isDone) log(`outputs files=${files} bytes=${size}`);
    },
    log,
    close: () => undefined,
  };
}

function workLine({ batch, progress }: Snapshot): string {
  const finished = batch.total_items - batch.pending_items - batch.running_items;
  const words: string[] = [batch.status];
  if (batch.pause_reason !== null) words.push(`reason=${batch.pause_reason}`);
  if (waitsForItems(batch)) words.push('waiting_for=more_items');
  else if (waitsForRate(batch)) words.push('waiting_for=rate_limit');
  words.push(`${finished}/${batch.total_items}`, `${Math.floor(batch.percent_complete)}%`);
  words.push(`completed=${batch.completed_items}`, `failed=${batch.failed_items}`);
  if (progress.items_per_second > 0) words.push(`rate=${rate(progress.items_per_second)}`);
  const eta = etaText(progress.estimated_time_remaining_ms);
  if (eta !== null && batch.status === 'running') words.push(`eta=${inOneWord(eta.replace('~', ''))}`);
  return words.join(' ');
}

function endLine({ batch }: Snapshot): string {
  const words: string[] = [
    batch.status,
    `completed=${batch.completed_items}`,
    `failed=${batch.failed_items}`,
  ];
  if (batch.cancelled_items > 0) words.push(`cancelled=${batch.cancelled_items}`);
  if (batch.skipped_items > 0) words.push(`skipped=${batch.skipped_items}`);
  words.push(`took=${inOneWord(duration(batch.ran_ms))}`);
  return words.join(' ');
}

/** Values of `key=value` have no spaces. */
function inOneWord(text: string): string {
  return text.replaceAll(' ', '');
}
