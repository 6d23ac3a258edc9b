import type { Failure } from '@sheaf/protocol';

/** A failed attempt: what to store of it, and the pause the processor asked for. */
export type Failed = { ok: false; error: Failure; retry_after_ms: number | null };

const MAX_MESSAGE = 2_000;
const MAX_RETRY_AFTER_MS = 86_400_000;

/** Names worth a place in the message: they say that the code is wrong, not the item. */
const TELLING_NAMES = new Set(['TypeError', 'RangeError', 'ReferenceError', 'SyntaxError']);

/** A full disk is nobody's fault: callers give such an item back instead of burning its attempt. */
const DISK_CODES = new Set(['enospc', 'edquot', 'erofs']);
const UNREADABLE_CODES = new Set(['eio', 'enoent', 'eacces', 'estale']);

/** A failure with a code of our own. */
export function failed(kind: Failure['kind'], code: string, message: string): Failed {
  return { ok: false, error: { kind, code, message: cleanText(message, MAX_MESSAGE) }, retry_after_ms: null };
}

/** An attempt that was told to stop. */
export function stopped(why: 'timeout' | 'cancelled', timeoutMs: number): Failed {
  return why === 'timeout'
    ? failed('timeout', 'timeout', `The item did not end within ${timeoutMs} ms.`)
    : failed('cancelled', 'cancelled', 'The item was stopped before it ended.');
}

/**
 * Whatever a processor threw, as data: its own `code` in snake_case, else `error`; its message,
 * bounded; `permanent` and `retry_after_ms` where it set them.
 *
 * The thrown value is not trusted: getters that throw, proxies and endless messages do no harm. A
 * full disk reads `storage_full`, and trouble with the item's own file `input_unreadable`.
 */
export function failureOf(thrown: unknown, inputPath: string | null): Failed {
  const code = codeOf(thrown) ?? codeOf(read(thrown, 'cause')) ?? 'error';
  const unreadable = inputPath !== null && UNREADABLE_CODES.has(code) && read(thrown, 'path') === inputPath;
  return {
    ok: false,
    error: {
      kind: read(thrown, 'permanent') === true ? 'permanent' : 'retryable',
      code: unreadable ? 'input_unreadable' : DISK_CODES.has(code) ? 'storage_full' : code,
      message: describeThrown(thrown),
    },
    retry_after_ms: waitOf(read(thrown, 'retry_after_ms')),
  };
}

/** A thrown value in words, at most 2,000 characters. Never throws. */
export function describeThrown(thrown: unknown): string {
  if (typeof thrown !== 'object' || thrown === null) return cleanText(primitiveText(thrown), MAX_MESSAGE);
  const message = read(thrown, 'message');
  const name = read(thrown, 'name');
  // `fetch failed` alone says nothing: what happened stands in the cause. An error with a code of its
  // own was worded for people.
  const cause = codeOf(thrown) === null ? read(read(thrown, 'cause'), 'message') : null;
  const text =
    typeof message === 'string' && message !== ''
      ? message
      : (codeOf(thrown) ?? `an object without a message was thrown`);
  const prefix = typeof name === 'string' && TELLING_NAMES.has(name) ? `${name}: ` : '';
  const suffix = typeof cause === 'string' && cause !== '' ? `: ${cleanText(cause, MAX_MESSAGE)}` : '';
  return cleanText(`${prefix}${cleanText(text, MAX_MESSAGE)}${suffix}`, MAX_MESSAGE);
}

/** Text that every store keeps: bounded, well-formed, without NUL. */
export function cleanText(text: string, max: number): string {
  const cut = text.length > max ? `${text.slice(0, max - 1)}…` : text;
  return cut.toWellFormed().replaceAll('\0', '\ufffd');
}

/** A code that others may branch on: `quota_exceeded` as it is, the system's `ENOENT` in small letters. */
function codeOf(thrown: unknown): string | null {
  const code = read(thrown, 'code');
  if (typeof code !== 'string' || !/^(?:[a-z][a-z0-9_]{0,63}|[A-Z][A-Z0-9_]{0,63})$/.test(code)) return null;
  return code.toLowerCase();
}

function waitOf(ms: unknown): number | null {
  if (typeof ms !== 'number' || !(ms >= 0)) return null;
  return Math.min(Math.ceil(ms), MAX_RETRY_AFTER_MS);
}

function primitiveText(thrown: unknown): string {
  if (typeof thrown === 'function') return 'a function was thrown';
  if (typeof thrown !== 'string') return `${String(thrown)} was thrown`;
  return thrown === '' ? 'an empty text was thrown' : thrown;
}

function read(from: unknown, key: string): unknown {
  if (typeof from !== 'object' || from === null) return undefined;
  try {
    return (from as Record<string, unknown>)[key];
  } catch {
    return undefined;
  }
}
