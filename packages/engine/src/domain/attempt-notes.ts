import { nameProblem } from '@sheaf/protocol';
import { cleanText } from './failure.ts';

/** The most an attempt's log keeps; the rest is dropped with a mark. */
export const MAX_LOG_BYTES = 262_144;

const CUT = '… the log was cut here: an attempt keeps 256 KiB.';
const MAX_METRICS = 100;

/** What an attempt says beside its result. Empty fields cost nothing. */
export type Notes = {
  lines: string[] | null;
  logBytes: number;
  isLogCut: boolean;
  metrics: Record<string, number> | null;
};

export function emptyNotes(): Notes {
  return { lines: null, logBytes: 0, isLogCut: false, metrics: null };
}

/** Adds a line to the log while there is room. Control characters are kept in an escaped form. */
export function noteLine(notes: Notes, line: unknown): void {
  if (notes.isLogCut) return;
  notes.lines ??= [];
  const text = escapeControls(cleanText(typeof line === 'string' ? line : safeText(line), MAX_LOG_BYTES));
  const bytes = Buffer.byteLength(text) + 1;
  if (notes.logBytes + bytes > MAX_LOG_BYTES - Buffer.byteLength(CUT)) {
    notes.isLogCut = true;
    // What still fits of the line that does not: a program may print a megabyte without a line end.
    notes.lines.push(
      text.slice(0, Math.floor((MAX_LOG_BYTES - Buffer.byteLength(CUT) - notes.logBytes) / 3)),
      CUT,
    );
    return;
  }
  notes.logBytes += bytes;
  notes.lines.push(text);
}

/** Keeps the last value of a metric. One that cannot be kept leaves a line in the log. */
export function noteMetric(notes: Notes, name: unknown, value: unknown): void {
  const isKnown = notes.metrics !== null && typeof name === 'string' && Object.hasOwn(notes.metrics, name);
  const isFull = !isKnown && notes.metrics !== null && Object.keys(notes.metrics).length >= MAX_METRICS;
  if (
    typeof name !== 'string' ||
    !/^[A-Za-z][\w.:-]{0,99}$/.test(name) ||
    typeof value !== 'number' ||
    !Number.isFinite(value) ||
    isFull
  ) {
    noteLine(notes, `The metric ${safeText(name)} = ${safeText(value)} was dropped.`);
    return;
  }
  notes.metrics ??= {};
  notes.metrics[name] = value;
}

/** The log as it is stored, or null when nothing was said. */
export function logText(notes: Notes): string | null {
  return notes.lines === null ? null : notes.lines.join('\n');
}

/** Progress as it is shown: a short step, and 0–100 or null. */
export function cleanProgress(step: unknown, percent: unknown): { step: string; percent: number | null } {
  return {
    step: cleanText(safeText(step), 200),
    percent:
      typeof percent === 'number' && !Number.isNaN(percent) ? Math.min(100, Math.max(0, percent)) : null,
  };
}

/** Why a text cannot name an output, or null when it can: it must be a plain file name. */
export function outputNameProblem(name: unknown): string | null {
  if (typeof name !== 'string') return 'is not a text';
  if (name === '.' || name === '..' || /[/\\]/.test(name)) return 'is a path';
  // The file systems' own limit; the rule for names allows more.
  if (Buffer.byteLength(name) > 255) return 'is longer than 255 bytes';
  return nameProblem(name);
}

/** Any value as a short text; a value whose own conversion throws is named by its type. */
function safeText(value: unknown): string {
  if (typeof value === 'string') return value;
  try {
    return String(value);
  } catch {
    return `[${typeof value}]`;
  }
}

function escapeControls(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is escaped
  return text.replace(/[\u0001-\u0008\u000b-\u001f\u007f-\u009f]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}
