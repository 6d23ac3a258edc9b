import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fingerprint } from './fingerprint.ts';

const of = (message: string, code = 'error') => fingerprint({ code, message });

describe('the fingerprint of a failure', () => {
  it.each([
    ['names', 'Cannot read holiday-01.jpg', 'Cannot read PL_DXB_image.png'],
    ['names with several dots', 'Cannot read a.tar.gz', 'Cannot read b.c.d.zip'],
    ['names in other scripts', 'Cannot read Überraschung.png', 'Cannot read Ärger.jpg'],
    ['names with letters only of other scripts', 'Cannot read фото.png', 'Cannot read снимок.png'],
    ['absolute paths', 'ENOENT: no such file, open /tmp/a/b.png', 'ENOENT: no such file, open /srv/x/y/z'],
    ['names in a folder', 'cannot open in/a.png', 'cannot open out/b.jpg'],
    ['absolute paths of one step', 'cannot open /a', 'cannot open /b'],
    ['relative paths', 'cannot open in/one/a.png', 'cannot open out/two/three/b.png'],
    ['home paths', 'cannot open ~/a/b.png', 'cannot open /home/someone/b.png'],
    ['Windows paths', 'cannot open C:\\pictures\\a.png', 'cannot open D:\\other\\deep\\b.png'],
    ['numbers', 'Line 17: 4,096 bytes, 99.5 %', 'Line 3: 12 bytes, 7 %'],
    ['negative numbers', 'offset -5', 'offset 18'],
    ['double quotes', 'The field "name" is wrong', 'The field "colour of the sky" is wrong'],
    ['single quotes', "The field 'a' is wrong", "The field 'b c' is wrong"],
    ['typographic quotes', 'The field “a” is wrong', 'The field “b c” is wrong'],
    ['backticks', 'no column `a`', 'no column `b`'],
    ['urls', 'GET https://a.example/x?y=1 failed', 'GET http://10.0.0.1:8080/z failed'],
    ['uuids', 'lost 0192e0c4-1111-7aaa-8bbb-0123456789ab', 'lost 5a2e0c4f-2222-4ccc-9ddd-ba9876543210'],
    [
      'ids',
      'batch bat_00000000000000000000000000/17 is gone',
      'batch bat_7zzzzzzzzzzzzzzzzzzzzzzzzz/2 is gone',
    ],
    ['hashes', 'sum 0123456789abcdef differs', 'sum fedcba9876543210aa differs'],
    ['hex numbers', 'fault at 0x7ffe01', 'fault at 0x10'],
    ['white space', 'it  broke\n', ' it broke'],
  ])('is the same for different %s', (_, one, other) => {
    expect(of(one)).toBe(of(other));
  });

  it('differs by code', () => {
    expect(of('it broke', 'timeout')).not.toBe(of('it broke', 'crashed'));
  });

  it('differs by what was said', () => {
    expect(of('The colour profile is missing')).not.toBe(of('The picture is cut off'));
  });

  it('keeps words that a slash only joins', () => {
    expect(of('input/output error')).toBe('error: input/output error');
    expect(of('read/write failed')).not.toBe(of('open/close failed'));
  });

  it('begins with the code, so that it can be read and asked for', () => {
    expect(of('Cannot read "a.png" at 17', 'unreadable')).toBe('unreadable: Cannot read "…" at <n>');
  });

  it('is the same when a quotation is so long that the message is cut inside it', () => {
    const message = (word: string) => `Unexpected token, "${word.repeat(200)}" is not valid JSON`;
    expect(of(message('abc'))).toBe(of(message('defg')));
  });

  it('does not choke on words with apostrophes', () => {
    expect(of("can't open picture 17")).toBe(of("can't open picture 18"));
    expect(of("can't open the file")).not.toBe(of("won't open the file"));
  });

  it('is short, whatever was thrown', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 5_000 }), (message) => {
        expect(of(message).length).toBeLessThanOrEqual(200);
      }),
    );
  });

  it('of its own message does not change any more', () => {
    fc.assert(
      fc.property(fc.lorem({ maxCount: 12 }), fc.nat(), (words, number) => {
        const once = of(`${words} ${number}`);
        expect(of(once.slice('error: '.length))).toBe(once);
      }),
    );
  });

  it('is well-formed text for well-formed messages, wherever it is cut', () => {
    fc.assert(
      fc.property(fc.nat(5), (shift) => {
        expect(of(`${'x'.repeat(190 + shift)}😀😀😀`).isWellFormed()).toBe(true);
      }),
    );
    expect(of(`a ${'😀'.repeat(400)}`).isWellFormed()).toBe(true);
  });

  it.each(['/'.repeat(5_000), 'a.'.repeat(2_500), 'a-'.repeat(2_500), "'".repeat(5_001), '1.'.repeat(2_500)])(
    'is found without backtracking for long odd messages (%#)',
    (message) => {
      expect(of(message).length).toBeLessThanOrEqual(200);
    },
  );
});
