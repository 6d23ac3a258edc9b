import { errorCode } from '@sheaf/protocol';
import { describe, expect, it } from 'vitest';
import {
  parseCanary,
  parseDuration,
  parseFailureBudget,
  parsePairs,
  parseParams,
  parsePriority,
  parseRateLimit,
  parseSince,
  parseWhole,
} from './values.ts';

describe('values of options', () => {
  it.each([
    ['10m', 600_000],
    ['30s', 30_000],
    ['1h', 3_600_000],
    ['2d', 172_800_000],
    ['500ms', 500],
    ['1.5h', 5_400_000],
    ['45', 45_000],
  ])('reads the time %s', (text, ms) => {
    expect(parseDuration(text, '--timeout')).toBe(ms);
  });

  it.each(['', 'soon', '-1s', '10 minutes', '1e9m', 'm'])('refuses the time "%s" as usage', (text) => {
    expect(codeOf(() => parseDuration(text, '--timeout'))).toBe('usage');
  });

  it('reads settings as JSON where they are, else as text', () => {
    const params = parseParams(['width=320', 'keep=true', 'tags=["a","b"]', 'name=01', 'text=a=b', 'empty=']);
    expect(params).toEqual({ width: 320, keep: true, tags: ['a', 'b'], name: '01', text: 'a=b', empty: '' });
  });

  it('takes a key such as __proto__ for what it is, a name', () => {
    const pairs = parsePairs(['__proto__=x'], '-l');
    expect(Object.getPrototypeOf(pairs)).toBe(Object.prototype);
    expect(Object.keys(pairs)).toEqual(['__proto__']);
  });

  it.each([
    ['low', 2],
    ['normal', 5],
    ['HIGH', 8],
    ['0', 0],
    ['9', 9],
  ])('reads the priority %s', (text, value) => {
    expect(parsePriority(text)).toBe(value);
  });

  it('reads canaries and failure budgets', () => {
    expect(parseCanary('20')).toEqual({ items: 20 });
    expect(parseCanary('20:95%')).toEqual({ items: 20, min_pass_percent: 95 });
    expect(parseFailureBudget('20%')).toEqual({ percent: 20 });
    expect(parseFailureBudget('50')).toEqual({ count: 50 });
  });

  it.each([
    ['10/s', { items: 10, per_ms: 1_000 }],
    ['500/h', { items: 500, per_ms: 3_600_000 }],
    ['5/10s', { items: 5, per_ms: 10_000 }],
    ['1/100ms', { items: 1, per_ms: 100 }],
    ['none', null],
  ])('reads the rate limit %s', (text, limit) => {
    expect(parseRateLimit(text)).toEqual(limit);
  });

  it.each(['10', '0/s', '10/99ms', '1/2d', '1.5/s', '/s', '5/0s'])('refuses the rate limit %s', (text) => {
    expect(codeOf(() => parseRateLimit(text))).toBe('usage');
  });

  it('reads times ago and dates', () => {
    const now = Date.UTC(2026, 10, 22);
    expect(parseSince('7d', now)).toBe('2026-11-15T00:00:00.000Z');
    expect(parseSince('2026-11-01', now)).toBe('2026-11-01T00:00:00.000Z');
  });

  it.each([
    ['a priority', () => parsePriority('10')],
    ['a priority', () => parsePriority('urgent')],
    ['a canary', () => parseCanary('0')],
    ['a canary', () => parseCanary('20:120%')],
    ['a failure budget', () => parseFailureBudget('0')],
    ['a failure budget', () => parseFailureBudget('101%')],
    ['a failure budget', () => parseFailureBudget('1.5')],
    ['a pair', () => parsePairs(['width'], '-p')],
    ['a pair', () => parsePairs(['=5'], '-p')],
    ['a whole number', () => parseWhole('1.5', '--limit', 1, 10)],
    ['a whole number', () => parseWhole('11', '--limit', 1, 10)],
    ['a date', () => parseSince('2026-13-40', 0)],
    ['a date', () => parseSince('last week', 0)],
  ])('refuses what is not %s as usage', (_what, parse) => {
    expect(codeOf(parse)).toBe('usage');
  });
});

function codeOf(work: () => unknown): string | undefined {
  try {
    work();
  } catch (error) {
    return errorCode(error);
  }
  return undefined;
}
