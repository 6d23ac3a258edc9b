import { describe, expect, it } from 'vitest';
import { parseRange } from './range.ts';

const part = (start: number, end: number) => ({ kind: 'part', start, end });

describe('Range', () => {
  it.each([
    ['bytes=0-0', part(0, 0)],
    ['bytes=10-19', part(10, 19)],
    ['bytes=90-', part(90, 99)],
    ['bytes=90-1000', part(90, 99)],
    ['bytes=-10', part(90, 99)],
    ['bytes=-1000', part(0, 99)],
    ['bytes=5-6, 10-20', part(5, 6)],
    ['bytes=200-300,10-20', part(10, 20)],
    [`bytes=${Array.from({ length: 1_000 }, (_, index) => `${index}-${index}`)}`, part(0, 0)],
  ])('%.20s is a part of 100 bytes', (header, expected) => {
    expect(parseRange(header, 100)).toEqual(expected);
  });

  it.each(['bytes=100-', 'bytes=100-200', 'bytes=20-10', 'bytes=-0'])('%s cannot be met', (header) => {
    expect(parseRange(header, 100)).toEqual({ kind: 'unsatisfiable' });
  });

  it.each([undefined, '', 'items=0-1', 'bytes', 'bytes=', 'bytes=-', 'bytes=a-b', 'bytes=1-2,x'])(
    '%s is as if it were not there',
    (header) => {
      expect(parseRange(header, 100)).toEqual({ kind: 'whole' });
    },
  );

  it('meets no range of an empty file', () => {
    expect(parseRange('bytes=0-', 0)).toEqual({ kind: 'unsatisfiable' });
    expect(parseRange('bytes=-5', 0)).toEqual({ kind: 'unsatisfiable' });
  });
});
