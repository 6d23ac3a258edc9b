import { MAX_ITEM_JSON_BYTES } from '@sheaf/protocol';
import { cleanText, describeThrown } from './failure.ts';

/** Deep enough for any honest result; JSON.stringify itself would overflow the stack far later. */
const MAX_DEPTH = 64;

/** Objects that JSON writes as `{}`, which loses what they hold. */
const LOSSY = new Set([
  'Map',
  'Set',
  'WeakMap',
  'WeakSet',
  'Promise',
  'RegExp',
  'Error',
  'ArrayBuffer',
  'SharedArrayBuffer',
  'ReadableStream',
  'Blob',
  'Generator',
  'AsyncGenerator',
]);

type Problem = { keys: string[]; text: string };

/**
 * What a processor returned, as JSON text to store, or why it cannot be stored, naming the field.
 *
 * Refused is what JSON would lose in silence (a Map, NaN, an invalid Date, a function) as well as
 * what it cannot write. `undefined` is no result; NUL and half characters become U+FFFD, since not
 * every database keeps them.
 */
export function resultToJson(value: unknown): { json: string | null } | { problem: string } {
  if (value === undefined || value === null) return { json: null };
  try {
    const problem = findProblem(value, 0, { left: MAX_ITEM_JSON_BYTES });
    if (problem !== null) {
      return { problem: `The result${pathOf(problem.keys)} ${problem.text}.` };
    }
    return checkJson(JSON.stringify(value));
  } catch (thrown) {
    // A getter, a Proxy or a toJSON of the processor's own.
    return { problem: `The result cannot be read: ${describeThrown(thrown)}` };
  }
}

/** Like `resultToJson` for a result that is JSON text already, from a process that is not trusted. */
export function checkJson(json: unknown): { json: string | null } | { problem: string } {
  if (json === null || json === undefined) return { json: null };
  if (typeof json !== 'string') return { problem: 'The result is not JSON.' };
  if (isLonger(json, MAX_ITEM_JSON_BYTES)) return { problem: TOO_LARGE };
  // JSON.stringify escapes exactly what is not welcome here, next to harmless control characters.
  return { json: json.includes('\\u') ? json.replace(UNWELCOME, '$1\ufffd') : json };
}

const TOO_LARGE = 'The result is larger than 256 KiB of JSON; write it to a file with output().';

/** An escaped NUL or lone surrogate; the group is the escaped backslashes before it. */
const UNWELCOME = /(?<!\\)((?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})/gi;

function isLonger(text: string, bytes: number): boolean {
  if (text.length > bytes) return true;
  return text.length * 3 > bytes && Buffer.byteLength(text) > bytes;
}

/** @param budget Bytes that may still come: what is far too large is refused before it is written out. */
function findProblem(value: unknown, depth: number, budget: { left: number }): Problem | null {
  // A string is counted before it is written out: one of 300 MB took seconds only to be refused.
  budget.left -= typeof value === 'string' ? value.length + 1 : 1;
  if (budget.left < 0)
    return { keys: [], text: 'is larger than 256 KiB of JSON; write it to a file with output()' };
  switch (typeof value) {
    case 'number':
      return Number.isFinite(value) ? null : { keys: [], text: `is ${value}, which JSON cannot hold` };
    case 'bigint':
      return { keys: [], text: 'is a BigInt; return a number or a string' };
    case 'function':
    case 'symbol':
      return { keys: [], text: `is a ${typeof value}` };
    case 'object':
      return value === null ? null : findObjectProblem(value, depth, budget);
    default:
      return null;
  }
}

function findObjectProblem(value: object, depth: number, budget: { left: number }): Problem | null {
  if (depth > MAX_DEPTH) return { keys: [], text: `is nested deeper than ${MAX_DEPTH}, or holds itself` };
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      const problem = findProblem(value[index], depth + 1, budget);
      if (problem !== null) return under(String(index), problem);
    }
    return null;
  }
  const odd = oddity(value);
  if (odd !== null) return { keys: [], text: odd };
  if ('toJSON' in value && typeof value.toJSON === 'function') {
    return findProblem(value.toJSON(), depth + 1, budget);
  }
  for (const key of Object.keys(value)) {
    if (key === '__proto__') return { keys: [], text: 'has a key "__proto__"' };
    budget.left -= key.length;
    // Read once here and once by JSON.stringify: a getter that answers differently fools only its owner.
    const problem = findProblem((value as Record<string, unknown>)[key], depth + 1, budget);
    if (problem !== null) return under(key, problem);
  }
  return null;
}

function oddity(value: object): string | null {
  const prototype = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return null;
  if (ArrayBuffer.isView(value)) return 'is binary data; write it to a file with output()';
  const tag = Object.prototype.toString.call(value).slice(8, -1);
  if (LOSSY.has(tag)) return `is a ${tag}, which JSON cannot hold`;
  if (tag === 'Date' && Number.isNaN((value as Date).getTime())) return 'is an invalid Date';
  return null;
}

function under(key: string, problem: Problem): Problem {
  problem.keys.unshift(key);
  return problem;
}

function pathOf(keys: readonly string[]): string {
  return keys.length === 0 ? '' : ` at ${cleanText(keys.join('.'), 200)}`;
}
