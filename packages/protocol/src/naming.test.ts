import { describe, expect, it } from 'vitest';
import { baseDirectoryName, batchDate, customerPrefix } from './naming.ts';

describe('the customer that file names speak of', () => {
  it.each([
    [['PL_DXB_image.png'], 'PL_DXB'],
    [['PL_DXB_image.png', 'PL_DXB_other.png'], 'PL_DXB'],
    [['ACME_photo.jpg'], 'ACME'],
    [['A1_B2_photo.jpg'], 'A1_B2'],
    [['PL_DXB_Image.png'], 'PL_DXB'],
    [['PL__DXB.png'], 'PL'],
    [['holiday.jpg'], null],
    [['Holiday_photo.jpg'], null],
    [['pl_dxb_image.png'], null],
    [['PL-DXB.png'], null],
    [['_PL_image.png'], null],
    [['2026_image.png'], null],
    [['PL'], null],
    [[''], null],
    [[], null],
  ])('in %j is %j', (names, expected) => {
    expect(customerPrefix(names)).toBe(expected);
  });

  it('is the one most names share', () => {
    expect(customerPrefix(['A_x', 'B_x', 'B_y', 'C_x'])).toBe('B');
  });

  it('is nobody when most names speak of nobody', () => {
    expect(customerPrefix(['A_x', 'plain', 'simple', 'B_x'])).toBeNull();
  });

  it('of a tie is the one that came first', () => {
    expect(customerPrefix(['A_x', 'B_x'])).toBe('A');
    expect(customerPrefix(['B_x', 'A_x'])).toBe('B');
  });

  it('is found by a pattern of the caller', () => {
    expect(customerPrefix(['kunde-7 haus.jpg', 'kunde-7 hof.jpg'], /^(kunde-\d+) /)).toBe('kunde-7');
  });

  it('is found in names of any length in no time', () => {
    const endless = `${'A'.repeat(50_000)}${'_A'.repeat(50_000)}`;
    expect(customerPrefix([`${endless}!`])).toBe(endless.slice(0, -2));
  });
});

describe('the directory of a batch', () => {
  it('names customer, day and counter', () => {
    expect(baseDirectoryName('PL_DXB', '2026-11-05', 1)).toBe('PL_DXB_2026-11-05_batch-1');
  });

  it('has no customer when none is known', () => {
    expect(baseDirectoryName(null, '2026-11-05', 12)).toBe('2026-11-05_batch-12');
  });

  it('takes the day in UTC', () => {
    expect(batchDate(Date.UTC(2026, 10, 5, 23, 59, 59, 999))).toBe('2026-11-05');
    expect(batchDate(Date.UTC(2026, 10, 6))).toBe('2026-11-06');
  });
});
