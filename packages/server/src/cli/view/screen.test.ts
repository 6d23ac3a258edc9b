import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { difference } from './screen.ts';

/** The least of a terminal: rows of text and a cursor that the sequences used here move. */
function terminal() {
  const rows: string[] = [''];
  let row = 0;
  const write = (text: string) => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the sequences a screen writes
    for (const [, move, count, line] of text.matchAll(/\u001b\[(\d*)([ABJK])|([^\u001b\n]+)|\n/g)) {
      if (count === 'A') row -= Number(move);
      else if (count === 'B') row += Number(move);
      else if (count === 'J') rows.splice(row, rows.length, '');
      else if (line !== undefined && line !== '\r') rows[row] = line.replaceAll('\r', '');
      else if (line === undefined && count === undefined) {
        row += 1;
        rows[row] ??= '';
      }
      if (row < 0) throw new Error('the cursor left the screen');
    }
  };
  return { write, rows: () => rows.slice(0, row) };
}

describe('drawing by difference', () => {
  it('shows exactly the new lines after any lines before', () => {
    const lines = fc.array(fc.stringMatching(/^[a-z]{1,5}$/), { maxLength: 6 });
    fc.assert(
      fc.property(fc.array(lines, { minLength: 1, maxLength: 6 }), (frames) => {
        const screen = terminal();
        let old: string[] = [];
        for (const frame of frames) {
          screen.write(difference(old, frame));
          old = frame;
          expect(screen.rows()).toEqual(frame);
        }
      }),
    );
  });

  it('writes nothing when nothing changed', () => {
    expect(difference(['a', 'b'], ['a', 'b'])).toBe('');
  });

  it('writes only the lines that changed', () => {
    const text = difference(['a', 'b', 'c'], ['a', 'x', 'c']);
    expect(text).toContain('x');
    expect(text).not.toContain('a');
    expect(text).not.toContain('c\u001b[K');
  });
});
