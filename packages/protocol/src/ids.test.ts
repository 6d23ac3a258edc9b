import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isBatchId, isFileId, itemId, makeId } from './ids.ts';

const bytes = () => fc.uint8Array({ minLength: 10, maxLength: 10 });
const times = () => fc.integer({ min: 0, max: 2 ** 48 - 1 });
const none = new Uint8Array(10);
const all = new Uint8Array(10).fill(255);

describe('ids', () => {
  it('have the shape that is asked for, whatever time and chance say', () => {
    fc.assert(
      fc.property(times(), bytes(), (now, random) => {
        expect(isBatchId(makeId('bat', now, random))).toBe(true);
        expect(isFileId(makeId('fil', now, random))).toBe(true);
      }),
    );
  });

  it('sort by the time they were made, whatever chance says', () => {
    fc.assert(
      fc.property(times(), times(), (one, other) => {
        fc.pre(one < other);
        expect(makeId('bat', one, all) < makeId('bat', other, none)).toBe(true);
      }),
    );
  });

  it('sort by time at the ends of the range too', () => {
    const moments = [0, 1, 31, 32, 2 ** 32, Date.UTC(2026, 10, 5), 2 ** 47, 2 ** 48 - 1];
    const ids = moments.map((now) => makeId('bat', now, all));
    expect([...ids].sort()).toEqual(ids);
  });

  it('differ by every bit of chance that is not the version or the variant', () => {
    const made = new Set([makeId('bat', 5, none)]);
    for (let bit = 0; bit < 80; bit++) {
      const random = new Uint8Array(10);
      random[Math.floor(bit / 8)] = 1 << (7 - (bit % 8));
      made.add(makeId('bat', 5, random));
    }
    // Six of the 80 bits are given: four of the version, two of the variant.
    expect(made.size).toBe(1 + 80 - 6);
  });

  it('are UUIDs of version 7', () => {
    const text = makeId('bat', Date.UTC(2026, 10, 5), all).slice(4);
    const bits = [...text].reduce((sum, letter) => {
      return (sum << 5n) | BigInt('0123456789abcdefghjkmnpqrstvwxyz'.indexOf(letter));
    }, 0n);
    expect((bits >> 76n) & 0xfn).toBe(7n);
    expect((bits >> 62n) & 3n).toBe(2n);
    expect(Number(bits >> 80n)).toBe(Date.UTC(2026, 10, 5));
  });

  it('take a time with fractions', () => {
    expect(makeId('bat', 1_000.9, none)).toBe(makeId('bat', 1_000, none));
  });

  it.each([
    '',
    'bat_',
    'bat_0',
    'BAT_00000000000000000000000000',
    'bat_0000000000000000000000000',
    'bat_000000000000000000000000000',
    'bat_80000000000000000000000000',
    'bat_0000000000000000000000000i',
    'bat_0000000000000000000000000u',
    'bat_00000000000000000000000000\n',
    ' bat_00000000000000000000000000',
    'bat_00000000000000000000000000/1',
    'fil_00000000000000000000000000',
  ])('do not look like %j', (text) => {
    expect(isBatchId(text)).toBe(false);
  });

  it('of a batch and a file are told apart', () => {
    expect(isFileId('bat_00000000000000000000000000')).toBe(false);
    expect(isFileId('fil_00000000000000000000000000')).toBe(true);
  });

  it('of an item are its batch and its place', () => {
    expect(itemId('bat_00000000000000000000000000', 17)).toBe('bat_00000000000000000000000000/17');
  });
});
