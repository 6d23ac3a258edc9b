import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createLineSplitter } from './line-splitter.ts';

test('gives the same lines however the bytes are cut', () => {
  const text = fc
    .array(fc.constantFrom('a', 'é', '😀', '\n', '\r', '\r\n', ' '), { maxLength: 40 })
    .map((parts) => parts.join(''));
  fc.assert(
    fc.property(text, fc.integer({ min: 1, max: 5 }), (whole, size) => {
      const bytes = new TextEncoder().encode(whole);
      const lines: string[] = [];
      const splitter = createLineSplitter((line) => lines.push(line));
      for (let at = 0; at < bytes.length; at += size) splitter.write(bytes.subarray(at, at + size));
      splitter.flush();
      const expected = whole.split(/\r\n|\n|\r/);
      if (expected.at(-1) === '') expected.pop();
      expect(lines).toEqual(expected);
    }),
  );
});

test('passes a line without an end on in pieces', () => {
  const pieces: string[] = [];
  const splitter = createLineSplitter((line) => pieces.push(line));
  for (let chunk = 0; chunk < 10; chunk++) splitter.write('x'.repeat(50_000));
  splitter.flush();
  expect(pieces.join('')).toBe('x'.repeat(500_000));
  expect(Math.max(...pieces.map((piece) => piece.length))).toBeLessThanOrEqual(65_536);
});
