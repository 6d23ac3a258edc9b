import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { depthOf, metadataSchema, nameProblem, nameSchema } from './text.ts';

describe('a name', () => {
  it.each([
    'holiday.jpg',
    'a',
    '.',
    '..',
    '../../etc/passwd',
    'C:\\x',
    'CON',
    ' leading and trailing ',
    'عربي',
    '日本語.png',
    '👩‍👩‍👧‍👦.png',
    '\u202Egnp.exe',
    '=1+1',
    '<script>',
    'a\u200Bb',
    'x'.repeat(255),
  ])('may be %j: odd, but printable', (name) => {
    expect(nameProblem(name)).toBeNull();
  });

  it.each([
    ['', /nothing that can be seen/],
    [' ', /nothing that can be seen/],
    ['\u00A0\u2003', /nothing that can be seen/],
    ['\u200B\u200C\uFEFF', /nothing that can be seen/],
    ['\u202E', /nothing that can be seen/],
    ['a\0b', /control characters/],
    ['a\nb', /control characters/],
    ['a\u007Fb', /control characters/],
    ['a\u0085b', /control characters/],
    ['\uD800', /half a character/],
    ['a\uDC00b', /half a character/],
    ['x'.repeat(256), /longer than 255 characters/],
  ])('may not be %j', (name, problem) => {
    expect(nameProblem(name)).toMatch(problem);
  });

  it('is limited in bytes as well: 1,024 are enough, one more is too much', () => {
    // Four bytes a character, but two in the count of JavaScript: only bytes can be the limit here.
    const wide = '😀'.repeat(127);
    expect(nameProblem(wide)).toBeNull();
    const three = '日'.repeat(255);
    expect(nameProblem(three)).toBeNull();
    expect(new Blob([three]).size).toBeLessThanOrEqual(1_024);
  });

  it('is stored in its composed form', () => {
    expect(nameSchema.parse('u\u0308ber')).toBe('über');
  });

  it('is measured in its composed form', () => {
    expect(nameSchema.parse('u\u0308'.repeat(200))).toBe('ü'.repeat(200));
    expect(nameSchema.safeParse('u\u0308'.repeat(256)).success).toBe(false);
  });

  it('that is wrong has a code of its own', () => {
    const result = nameSchema.safeParse('a\0b');
    expect(result.error?.issues).toMatchObject([{ params: { code: 'invalid_name' } }]);
  });

  it('is a text and nothing that could be made one', () => {
    for (const value of [1, null, undefined, {}, ['a'], true])
      expect(nameSchema.safeParse(value).success).toBe(false);
  });

  it('stays what it is when it is checked twice', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
        const once = nameSchema.safeParse(text);
        if (once.success) expect(nameSchema.parse(once.data)).toBe(once.data);
      }),
    );
  });
});

describe('metadata', () => {
  const nested = (depth: number): unknown => (depth === 0 ? 1 : { a: nested(depth - 1) });

  it('is at most 8 levels deep', () => {
    expect(depthOf(nested(8))).toBe(8);
    expect(metadataSchema.safeParse(nested(8)).success).toBe(true);
    expect(metadataSchema.safeParse(nested(9)).success).toBe(false);
  });

  it('is at most 16 KiB large', () => {
    expect(metadataSchema.safeParse({ a: 'x'.repeat(16_384 - 8) }).success).toBe(true);
    expect(metadataSchema.safeParse({ a: 'x'.repeat(16_384 - 7) }).success).toBe(false);
  });

  it('is measured in bytes, not in characters', () => {
    expect(metadataSchema.safeParse({ a: '日'.repeat(6_000) }).success).toBe(false);
  });

  it('does not hold itself', () => {
    const circle: { self?: unknown } = {};
    circle.self = circle;
    expect(metadataSchema.safeParse(circle).success).toBe(false);
  });

  it('is an object', () => {
    for (const value of [[], 'a', 1, null]) expect(metadataSchema.safeParse(value).success).toBe(false);
  });
});
