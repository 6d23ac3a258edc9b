import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeCursor, encodeCursor } from './cursor.ts';

describe('cursor', () => {
  it('comes back as the place it was made for', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 0, max: 10_000_000 }), (list, after) => {
        expect(decodeCursor(list, encodeCursor(list, after))).toBe(after);
      }),
    );
  });

  it('is refused when it is of another list', () => {
    expect(() => decodeCursor('items b', encodeCursor('items a', 5))).toThrow(
      expect.objectContaining({ code: 'invalid_cursor' }),
    );
  });

  it('is refused when a letter of it was changed, added or taken away', () => {
    const cursor = encodeCursor('items a', 12_345);
    const changed = [...cursor].map(
      (letter, at) => `${cursor.slice(0, at)}${letter === 'A' ? 'B' : 'A'}${cursor.slice(at + 1)}`,
    );
    for (const text of [
      ...changed,
      `${cursor}=`,
      `${cursor} `,
      cursor.slice(1),
      cursor.slice(0, -1),
      '',
      '5',
      '!!',
    ]) {
      expect(() => decodeCursor('items a', text)).toThrow(
        expect.objectContaining({ code: 'invalid_cursor' }),
      );
    }
  });
});
