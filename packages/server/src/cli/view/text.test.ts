import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bar } from './bar.ts';
import { clean } from './clean.ts';
import { bytes, count, duration, plural, rate, shellWord } from './format.ts';
import { table } from './table.ts';
import { fit, fitColoured, widthOf } from './width.ts';

describe('text from outside', () => {
  it('has nothing left that a terminal would obey', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
        expect(clean(text)).not.toMatch(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u);
      }),
    );
  });

  it.each([
    ['colours', '\u001b[31mred\u001b[0m', 'red'],
    ['a window title', 'a\u001b]0;title\u0007b', 'ab'],
    ['the clipboard', 'a\u001b]52;c;ZXZpbA==\u001b\\b', 'ab'],
    ['a link that never ends', 'a\u001b]8;;http://evil', 'a'],
    ['a cursor move by C1', 'a\u009b2Jb', 'ab'],
    ['a device control string', 'a\u001bPevil\u001b\\b', 'ab'],
    ['a right-to-left override', 'photo\u202egnp.exe', 'photognp.exe'],
    ['line breaks and tabs', 'a\r\nb\tc', 'a b c'],
    ['a backspace', 'ab\u0008\u0008cd', 'abcd'],
  ])('loses %s', (_what, text, cleaned) => {
    expect(clean(text)).toBe(cleaned);
  });

  it('keeps every letter of any script', () => {
    expect(clean('ファイル é 🏔️ ابجد.png')).toBe('ファイル é 🏔️ ابجد.png');
  });
});

describe('width', () => {
  it('counts what a terminal draws', () => {
    expect(widthOf('abc')).toBe(3);
    expect(widthOf('ファイル')).toBe(8);
    expect(widthOf('e\u0301')).toBe(1);
    expect(widthOf('🏔')).toBe(2);
  });

  it('never cuts to more than there is room for', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 0, max: 30 }), (text, columns) => {
        expect(widthOf(fit(text, columns))).toBeLessThanOrEqual(columns);
      }),
    );
  });

  it('cuts coloured lines by what is seen and ends every colour', () => {
    const line = '\u001b[31mabcdef\u001b[0m rest';
    expect(fitColoured(line, 4)).toBe('\u001b[31mabc…\u001b[0m');
    expect(fitColoured(line, 40)).toBe(line);
  });
});

describe('figures', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1_000, '1 kB'],
    [18_400, '18 kB'],
    [3_400_000_000, '3.4 GB'],
    [212_000_000, '212 MB'],
    [999_999, '1 MB'],
  ])('writes %d bytes as %s', (number, text) => {
    expect(bytes(number)).toBe(text);
  });

  it.each([
    [0, '0.00 s'],
    [520, '0.52 s'],
    [24_100, '24.1 s'],
    [59_970, '1 m 00 s'],
    [1_264_000, '21 m 04 s'],
    [3_599_600, '1 h 00 m'],
    [11_100_000, '3 h 05 m'],
  ])('writes %d ms as %s', (ms, text) => {
    expect(duration(ms)).toBe(text);
  });

  it('groups, counts and rates', () => {
    expect(count(1_204)).toBe('1,204');
    expect(plural(1, 'item')).toBe('1 item');
    expect(plural(2_000, 'batch', 'batches')).toBe('2,000 batches');
    expect(rate(52.3)).toBe('52/s');
    expect(rate(0.41)).toBe('0.4/s');
  });

  it('quotes for a shell only where it must', () => {
    expect(shellWord('input_invalid')).toBe('input_invalid');
    expect(shellWord("it's: broken")).toBe(String.raw`'it'\''s: broken'`);
  });
});

describe('bars', () => {
  it('are always as long as asked, and never look finished before they are', () => {
    fc.assert(
      fc.property(fc.nat(40), fc.nat(1000), fc.nat(1000), fc.nat(1000), (cells, completed, failed, left) => {
        const total = completed + failed + left;
        const text = bar(cells, { completed, failed, total });
        expect(text).toHaveLength(cells);
        if (left > 0 && cells > 1) expect(text).toMatch(/░$/);
      }),
    );
  });

  it('shows a single failure among many', () => {
    expect(bar(10, { completed: 9_999, failed: 1, total: 10_000 })).toBe('█████████▒');
  });
});

describe('tables', () => {
  it('line up by what is seen, numbers to the right', () => {
    const lines = table(
      [{ title: 'NAME' }, { title: 'N', side: 'right' }, { title: 'STATUS' }],
      [
        ['ファイル', '1', 'ok'],
        ['a', '1,204', 'failed'],
      ],
    );
    expect(lines).toEqual(['NAME          N  STATUS', 'ファイル      1  ok', 'a         1,204  failed']);
  });
});
