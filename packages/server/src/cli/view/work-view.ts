import { batchLabel, STATUS_LABELS, waitsForItems } from '@sheaf/client';
import type { Context } from '../context.ts';
import type { UploadState } from '../upload.ts';
import type { Snapshot } from '../watch.ts';
import { causeLines, runningLine, workLine } from './batch-lines.ts';
import { clean } from './clean.ts';
import { bytes, count } from './format.ts';
import { createPlainLog } from './plain-log.ts';
import { openScreen } from './screen.ts';
import type { Terminal } from './terminal.ts';

/** What a batch at work looks like while somebody watches. */
export type WorkView = {
  upload(state: UploadState): void;
  show(snapshot: Snapshot): void;
  fetching(files: number, bytes: number, isDone: boolean): void;
  /** A remark that stays, above what is redrawn. */
  log(line: string): void;
  close(): void;
};

/** Redraws on a terminal, writes a line for each event worth keeping elsewhere, or says nothing. */
export function openWorkView(context: Context, options: { footer?: string } = {}): WorkView {
  switch (context.progress) {
    case 'live':
      return liveView(context.terminal, options.footer ?? '');
    case 'plain':
      return createPlainLog((line) => context.terminal.out(line));
    default:
      return silentView((line) => context.quiet || context.terminal.err(line));
  }
}

function liveView(terminal: Terminal, footer: string): WorkView {
  const screen = openScreen(terminal);
  const state: Shown = { upload: null, snapshot: null, fetched: null };
  const draw = () => screen.draw(linesOf(state, terminal, footer));
  return {
    upload(upload) {
      state.upload = { ...upload };
      draw();
    },
    show(snapshot) {
      state.snapshot = snapshot;
      draw();
    },
    fetching(files, size, isDone) {
      state.fetched = { files, bytes: size, isDone };
      draw();
    },
    log: (line) => screen.log(line),
    close: () => screen.close(),
  };
}

export type Shown = {
  upload: UploadState | null;
  snapshot: Snapshot | null;
  fetched: { files: number; bytes: number; isDone: boolean } | null;
};

/** The lines of a moment, from what is known: pure, so that they can be tested as text. */
export function linesOf(
  { upload, snapshot, fetched }: Shown,
  terminal: Pick<Terminal, 'paint' | 'width'>,
  footer: string,
): string[] {
  const { paint } = terminal;
  const lines: string[] = [];
  if (upload !== null && upload.total_files > 0) lines.push(uploadLine(upload, paint, terminal.width()));
  // A draft that fills up is the upload's news.
  if (snapshot !== null && snapshot.batch.status !== 'draft') {
    const { batch, progress, causes, isStale } = snapshot;
    const canary = canaryLine(snapshot, paint);
    if (canary !== null) lines.push(canary);
    const { icon, tone, label } = batchLabel(batch);
    const isWaiting = waitsForItems(batch);
    const isRunning = batch.status === 'running' && label === STATUS_LABELS.running.label;
    lines.push(
      `  ${paint(tone, icon)} ${isRunning ? 'Run     ' : `${clean(label)}  `} ${workLine(batch, progress, paint, terminal.width())}`,
    );
    if (isWaiting) lines.push(`    ${paint('dim', 'no more?')} sheaf seal ${batch.id}`);
    const running = runningLine(progress);
    if (running !== null) lines.push(`    ${paint('dim', 'running')}  ${running}`);
    for (const line of causeLines(causes, paint)) lines.push(`    ${paint('dim', 'failed ')}  ${line}`);
    if (isStale)
      lines.push(
        `    ${paint('amber', 'Reconnecting…')} the server does not answer; these are its last figures`,
      );
  }
  if (fetched !== null)
    lines.push(
      `  ${fetched.isDone ? paint('green', '✓') : '↓'} Fetch    ${count(fetched.files)} outputs  ${bytes(fetched.bytes)}`,
    );
  if (footer !== '') lines.push(paint('dim', footer));
  return lines;
}

function uploadLine(upload: UploadState, paint: Terminal['paint'], width: number): string {
  const files = `${count(upload.files)}/${count(upload.total_files)}`;
  if (upload.isDone) return `  ${paint('green', '✓')} Upload   ${files}  ${bytes(upload.total_bytes)}`;
  const cells = Math.max(6, Math.min(26, width - 60));
  // By bytes, which move while a large file is under way.
  const full = upload.total_bytes === 0 ? 0 : Math.floor((upload.bytes / upload.total_bytes) * cells);
  const shape = '█'.repeat(Math.min(cells, full)) + '░'.repeat(Math.max(0, cells - full));
  return `  ${paint('blue', '⇡')} Upload   ${shape} ${files}  ${bytes(upload.bytes_per_second)}/s`;
}

function canaryLine({ batch }: Snapshot, paint: Terminal['paint']): string | null {
  const { canary } = batch.policies;
  if (canary === null || batch.round > 1) return null;
  const finished = batch.completed_items + batch.failed_items;
  if (finished >= Math.min(canary.items, batch.total_items)) {
    return `  ${paint('green', '✓')} Canary   ${count(Math.min(canary.items, batch.total_items))} tried first`;
  }
  return `  ${paint('blue', '◐')} Canary   ${count(finished)}/${count(canary.items)}`;
}

function silentView(log: (line: string) => void): WorkView {
  const nothing = () => undefined;
  return { upload: nothing, show: nothing, fetching: nothing, log, close: nothing };
}
