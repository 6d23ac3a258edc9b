import type { ReadStream, WriteStream } from 'node:tty';
import type { Tone } from '@sheaf/client';

export type ProgressMode = 'auto' | 'tty' | 'plain' | 'quiet';
export type ColorMode = 'auto' | 'always' | 'never';
export type Style = Tone | 'bold' | 'dim';

/** Where a person reads and answers, and what it can do. */
export type Terminal = {
  /** Whether the end of the output can be drawn again; else lines are written once. */
  isLive: boolean;
  /** Whether somebody is there to answer a question. */
  canAsk: boolean;
  width(): number;
  height(): number;
  /** Writes a line to stdout: what was asked for. */
  out(line: string): void;
  /** Writes a line to stderr: everything else. */
  err(line: string): void;
  /** Writes to stdout as it is, for drawing. */
  raw(text: string): void;
  onResize(listener: () => void): () => void;
  paint(style: Style, text: string): string;
  paintErr(style: Style, text: string): string;
  /** Aborts when nobody reads stdout any more (`… | head`). */
  gone: AbortSignal;
};

type Streams = { stdin: ReadStream; stdout: WriteStream; stderr: WriteStream };

/** Looks at the streams and the environment once and settles how to speak. */
export function openTerminal(
  streams: Streams,
  env: NodeJS.ProcessEnv,
  choice: { progress: ProgressMode; color: ColorMode },
): Terminal {
  const { stdin, stdout, stderr } = streams;
  const isUnicode = speaksUnicode(env);
  const isDumb = env.TERM === 'dumb';
  const gone = new AbortController();
  for (const stream of [stdout, stderr]) {
    // A reader that went away (EPIPE), or a terminal that was closed (EIO), ends the output, not the work.
    stream.on('error', () => gone.abort());
  }
  const write = (stream: WriteStream, text: string) => {
    if (!gone.signal.aborted) stream.write(isUnicode ? text : ascii(text));
  };
  return {
    isLive:
      choice.progress === 'tty' ||
      (choice.progress === 'auto' && stdout.isTTY === true && !isDumb && !isSet(env.CI)),
    canAsk: stdin.isTTY === true && stderr.isTTY === true && !isSet(env.CI),
    width: () => Math.max(20, stdout.columns ?? 80),
    height: () => Math.max(4, stdout.rows ?? 24),
    out: (line) => write(stdout, `${line}\n`),
    err: (line) => write(stderr, `${line}\n`),
    raw: (text) => write(stdout, text),
    onResize(listener) {
      stdout.on('resize', listener);
      return () => stdout.off('resize', listener);
    },
    paint: painter(hasColor(stdout, env, choice.color)),
    paintErr: painter(hasColor(stderr, env, choice.color)),
    gone: gone.signal,
  };
}

/** NO_COLOR (no-color.org) and CLICOLOR_FORCE (bixense.com/clicolors) are set when they are not empty. */
function hasColor(stream: WriteStream, env: NodeJS.ProcessEnv, choice: ColorMode): boolean {
  if (choice !== 'auto') return choice === 'always';
  if (isSet(env.NO_COLOR)) return false;
  if (isSet(env.CLICOLOR_FORCE) && env.CLICOLOR_FORCE !== '0') return true;
  return stream.isTTY === true && env.TERM !== 'dumb';
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== '';
}

/** Whether letters beyond ASCII are understood. Where nothing is said they are: only old consoles say C. */
function speaksUnicode(env: NodeJS.ProcessEnv): boolean {
  const locale = [env.LC_ALL, env.LC_CTYPE, env.LANG].find(isSet);
  return locale === undefined || /utf-?8/i.test(locale);
}

function painter(hasColor: boolean): (style: Style, text: string) => string {
  return (style, text) => (hasColor && text !== '' ? `\u001b[${STYLES[style]}m${text}\u001b[0m` : text);
}

const STYLES = {
  bold: '1',
  dim: '2',
  red: '31',
  green: '32',
  amber: '33',
  blue: '36',
  grey: '90',
} as const satisfies Record<Style, string>;

/** Our own signs in ASCII; what else there is comes from outside and stays as it is. */
function ascii(text: string): string {
  return text.replace(/[^ -~]/g, (letter) => ASCII[letter] ?? letter);
}

const ASCII: Record<string, string> = {
  '✎': '*',
  '◇': '?',
  '○': 'o',
  '◐': '>',
  '◑': '=',
  '‖': '=',
  '✓': '+',
  '⚠': '!',
  '✗': 'x',
  '⊘': '-',
  '↻': '~',
  '⤼': '/',
  '⇡': '^',
  '↓': 'v',
  '█': '#',
  '▒': 'x',
  '░': '.',
  '…': '...',
  '·': '-',
  '–': '-',
  '→': '->',
  '×': 'x',
  '“': '"',
  '”': '"',
  '’': "'",
};
