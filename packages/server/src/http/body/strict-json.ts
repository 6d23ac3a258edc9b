import { type FieldError, type Json, SheafError } from '@sheaf/protocol';
import { pointer } from '../json-pointer.ts';
import { quote } from '../problem.ts';

/** Nested deeper than this, JSON is refused. */
const MAX_DEPTH = 32;

/** The most keys one object may have. */
const MAX_KEYS = 50_000;

/**
 * The most values a whole body may hold. A value costs some 100 bytes of memory whatever its text, so
 * that 64 MiB of `{},{},…` would otherwise take gigabytes.
 */
const MAX_VALUES = 2_000_000;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const NUMBER = /-?\d+(\.\d+)?([eE][+-]?\d+)?/y;

/**
 * Parses JSON and refuses what `JSON.parse` would let through and change in silence: a key given
 * twice, a number that JavaScript cannot hold, bytes that are not UTF-8; and what is only ever meant
 * as an attack: `__proto__`, endless nesting.
 *
 * @throws malformed_json, forbidden_key, too_deep, or invalid for numbers out of range.
 */
export function parseJson(bytes: Uint8Array): Json {
  const text = decode(bytes);
  const findings = scan(text);
  const value = parse(text);
  // What the scan found means something only in a text that is JSON at all.
  if (findings.first !== null) throw findings.first;
  if (findings.numbers.length > 0) {
    throw new SheafError('invalid', 'A number cannot be kept exactly; write it as a string.', {
      errors: findings.numbers,
    });
  }
  return value;
}

function decode(bytes: Uint8Array): string {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch (error) {
    throw new SheafError('malformed_json', 'The body is not UTF-8.', {}, error);
  }
  if (text.startsWith('\ufeff')) {
    throw new SheafError('malformed_json', 'The body starts with a byte order mark; send plain UTF-8.');
  }
  return text;
}

function parse(text: string): Json {
  try {
    return JSON.parse(text) as Json; // JSON.parse makes nothing but Json
  } catch (error) {
    const place = error instanceof Error ? /\(line \d+ column \d+\)/.exec(error.message)?.[0] : undefined;
    const where = text.trim() === '' ? ': it is empty' : place === undefined ? '' : ` ${place}`;
    throw new SheafError('malformed_json', `The body is not JSON${where}.`, {}, error);
  }
}

type Findings = { first: SheafError | null; numbers: FieldError[] };

/** An object or array that is open at the moment; `keys` is null for an array. */
type Level = { keys: Set<string> | null; key: string; index: number; expectsKey: boolean };

/** Walks over the text without building anything. Sees every token of valid JSON; of other texts some. */
function scan(text: string): Findings {
  const findings: Findings = { first: null, numbers: [] };
  const levels: Level[] = [];
  let values = 0;
  for (let at = 0; at < text.length; at++) {
    const level = levels.at(-1);
    switch (text.charCodeAt(at)) {
      case 0x22: {
        const end = endOfString(text, at);
        if (level?.expectsKey) {
          level.expectsKey = false;
          level.key = unescaped(text.slice(at + 1, end));
          findings.first ??= keyProblem(levels, level);
          if ((level.keys?.size ?? 0) > MAX_KEYS) throw tooDeep(levels, `has more than ${MAX_KEYS} keys`);
        }
        at = end;
        break;
      }
      case 0x7b: // {
        values++;
        levels.push({ keys: new Set(), key: '', index: 0, expectsKey: true });
        break;
      case 0x5b: // [
        values++;
        levels.push({ keys: null, key: '', index: 0, expectsKey: false });
        break;
      case 0x7d: // }
      case 0x5d: // ]
        levels.pop();
        break;
      case 0x2c: // ,
        values++;
        if (level?.keys === null) level.index++;
        else if (level !== undefined) level.expectsKey = true;
        break;
      default: {
        const number = numberAt(text, at);
        if (number === null) break;
        if (!isExact(number) && findings.numbers.length < 100)
          findings.numbers.push(outOfRange(levels, number));
        at += number.length - 1;
      }
    }
    if (levels.length > MAX_DEPTH) throw tooDeep(levels, `is nested deeper than ${MAX_DEPTH}`);
    if (values > MAX_VALUES) {
      throw new SheafError('too_deep', `The body has more than ${MAX_VALUES} values; send items as NDJSON.`);
    }
  }
  return findings;
}

/** The place of the quote that ends the string which starts at `from`, or the end of the text. */
function endOfString(text: string, from: number): number {
  let end = text.indexOf('"', from + 1);
  while (end !== -1) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === 0x5c) backslashes++;
    if (backslashes % 2 === 0) return end;
    end = text.indexOf('"', end + 1);
  }
  return text.length;
}

/** Two ways to write a key are one key: `"\u0061"` is `"a"`. */
function unescaped(key: string): string {
  if (!key.includes('\\')) return key;
  try {
    return String(JSON.parse(`"${key}"`));
  } catch {
    return key; // not JSON: the parser says so
  }
}

function keyProblem(levels: readonly Level[], level: Level): SheafError | null {
  const { key, keys } = level;
  if (key === '__proto__' || (key === 'prototype' && levels.at(-2)?.key === 'constructor')) {
    return new SheafError('forbidden_key', `The key "${key}" is not accepted.`, {
      errors: [{ pointer: pointerTo(levels), code: 'forbidden_key', message: 'Rename the key.' }],
    });
  }
  if (keys?.has(key)) {
    const message = `The key ${quote(key)} is given twice in one object.`;
    return new SheafError('malformed_json', message, {
      errors: [{ pointer: pointerTo(levels), code: 'duplicate_key', message }],
    });
  }
  keys?.add(key);
  return null;
}

function numberAt(text: string, at: number): string | null {
  const code = text.charCodeAt(at);
  if (code !== 0x2d && (code < 0x30 || code > 0x39)) return null;
  NUMBER.lastIndex = at;
  return NUMBER.exec(text)?.[0] ?? null;
}

/** Whether JavaScript keeps the number as it was written (fractions are as exact as a double). */
function isExact(number: string): boolean {
  if (number.length < 16 && !/[eE]/.test(number)) return true;
  const value = Number(number);
  return /^-?\d+$/.test(number) ? Number.isSafeInteger(value) : Number.isFinite(value);
}

function outOfRange(levels: readonly Level[], number: string): FieldError {
  const message = `${quote(number)} is beyond what a number here can hold; write it as a string.`;
  return { pointer: pointerTo(levels), code: 'out_of_range', message };
}

function tooDeep(levels: readonly Level[], why: string): SheafError {
  return new SheafError('too_deep', `The body ${why}.`, { depth: levels.length });
}

function pointerTo(levels: readonly Level[]): string {
  return pointer(levels.map(({ keys, key, index }) => (keys === null ? index : key)));
}
