import type { Terminal } from './terminal.ts';
import { fitColoured, widthOf } from './width.ts';

const SHORTEST_GAP_MS = 100;

/** The live end of the output: a few lines that are drawn again in place, with logs scrolling above. */
export type Screen = {
  /** Shows these lines instead of the last ones, at most ten times a second. */
  draw(lines: readonly string[]): void;
  /** Writes a line above the live ones, for good. */
  log(line: string): void;
  /** Takes the live lines away, gives the cursor back and ends. Safe to call twice. */
  close(): void;
};

/**
 * Draws by comparing lines: only those that changed are written, nothing is ever cleared first, so
 * nothing flickers. Lines are cut to the width of the terminal: a wrapped one would break the count.
 */
export function openScreen(terminal: Terminal): Screen {
  let shown: string[] = [];
  let wanted: readonly string[] = [];
  let shownWidth = terminal.width();
  let lastAt = 0;
  let timer: NodeJS.Timeout | undefined;
  let isOpen = true;

  const showCursor = () => terminal.raw('\u001b[?25h');
  // Whatever ends the process, an error in another place too, the cursor comes back.
  process.once('exit', showCursor);
  // A signal nobody listens to would end the process without that.
  const onSignal = (signal: NodeJS.Signals) => {
    if (process.listenerCount(signal) === 1) process.exit(signal === 'SIGTERM' ? 143 : 130);
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  terminal.raw('\u001b[?25l');

  const paint = () => {
    clearTimeout(timer);
    timer = undefined;
    lastAt = performance.now();
    const width = terminal.width();
    const lines = wanted.slice(0, terminal.height() - 1).map((line) => fitColoured(line, width - 1));
    if (width !== shownWidth) {
      // The terminal has folded the old lines to its new width: start anew from where they began.
      terminal.raw(`${up(rowsOf(shown, width))}\u001b[J`);
      shown = [];
      shownWidth = width;
    }
    terminal.raw(difference(shown, lines));
    shown = lines;
  };
  const offResize = terminal.onResize(() => {
    if (isOpen) paint();
  });

  return {
    draw(lines) {
      if (!isOpen) return;
      wanted = lines;
      const wait = lastAt + SHORTEST_GAP_MS - performance.now();
      if (wait <= 0) paint();
      else timer ??= setTimeout(paint, wait);
    },
    log(line) {
      terminal.raw(`${up(rowsOf(shown, terminal.width()))}\u001b[J`);
      shown = [];
      terminal.out(line);
      if (isOpen) paint();
    },
    close() {
      if (!isOpen) return;
      isOpen = false;
      clearTimeout(timer);
      offResize();
      terminal.raw(`${up(rowsOf(shown, terminal.width()))}\u001b[J`);
      shown = [];
      showCursor();
      process.off('exit', showCursor).off('SIGINT', onSignal).off('SIGTERM', onSignal);
    },
  };
}

/** What to write to turn the old lines into the new ones, with the cursor below the last before and after. */
export function difference(old: readonly string[], lines: readonly string[]): string {
  const first = lines.findIndex((line, index) => line !== old[index]);
  const from = first === -1 ? Math.min(lines.length, old.length) : first;
  if (from === lines.length && from === old.length) return '';
  let text = up(old.length - from);
  for (let index = from; index < lines.length; index++) {
    text += lines[index] === old[index] ? '\u001b[1B\r' : `\r${lines[index]}\u001b[K\n`;
  }
  return old.length > lines.length ? `${text}\u001b[J` : text;
}

function up(lines: number): string {
  return lines > 0 ? `\u001b[${lines}A\r` : '\r';
}

/** Rows that lines take in a terminal of this width. */
function rowsOf(lines: readonly string[], width: number): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: our own colours begin with one
  const plain = lines.map((line) => line.replace(/\u001b\[[0-9;]*m/g, ''));
  return plain.reduce((rows, line) => rows + Math.max(1, Math.ceil(widthOf(line) / width)), 0);
}
