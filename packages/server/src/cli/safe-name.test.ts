import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createUniqueNames, safeName } from './safe-name.ts';

describe('names of files that come out', () => {
  it('stays in its folder and within 200 bytes, whatever the name is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (name) => {
        const safe = safeName(name);
        expect(resolve(join('/out', safe))).toBe(`/out/${safe}`);
        expect(Buffer.byteLength(safe)).toBeLessThanOrEqual(200);
        expect(safe).not.toMatch(/^\.{0,2}$|[\\/:*?"<>|\p{Cc}]/u);
      }),
    );
  });

  it.each([
    ['../../etc/passwd', '.._.._etc_passwd'],
    ['C:\\x', 'C__x'],
    ['CON.txt', '_CON.txt'],
    ['nul', '_nul'],
    ['..', '_'],
    ['', '_'],
    ['a\u0000b\n.png', 'ab.png'],
    ['\u202egnp.exe', 'gnp.exe'],
    ['trailing. . ', 'trailing'],
    ['ファイル.png', 'ファイル.png'],
    ['e\u0301.png', '\u00e9.png'],
    ['🏔️.jpg', '🏔️.jpg'],
  ])('makes %j to %j', (name, safe) => {
    expect(safeName(name)).toBe(safe);
  });

  it('keeps the ending of a name that is too long, and cuts no letter in two', () => {
    const safe = safeName(`${'é'.repeat(300)}.webp`);
    expect(safe.endsWith('é.webp')).toBe(true);
    expect(Buffer.byteLength(safe)).toBeLessThanOrEqual(200);
  });

  it('gives each name once in its folder, also where only the case differs', () => {
    const unique = createUniqueNames();
    expect([unique('a', 'x.png'), unique('a', 'x.png'), unique('a', 'X.PNG'), unique('b', 'x.png')]).toEqual([
      'x.png',
      'x (2).png',
      'X (3).PNG',
      'x.png',
    ]);
    expect(unique('a', 'x (2).png')).toBe('x (2) (2).png');
  });

  it('gives a hundred thousand equal names in no time', () => {
    const unique = createUniqueNames();
    const names = new Set(Array.from({ length: 100_000 }, () => unique('', 'image.png')));
    expect(names.size).toBe(100_000);
  });
});
