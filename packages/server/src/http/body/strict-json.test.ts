import { errorCode, type SheafError } from '@sheaf/protocol';
import { describe, expect, it } from 'vitest';
import { parseJson } from './strict-json.ts';

const parse = (text: string) => parseJson(Buffer.from(text));

describe('strict JSON', () => {
  it('answers what JSON.parse answers', () => {
    const texts = [
      '{"a":[1,-2.5e3,"x\\"y\\\\",null,true,{"b":{}}],"":""}',
      '"text"',
      ' [ ] ',
      '0',
      '9007199254740991',
    ];
    for (const text of texts) expect(parse(text)).toEqual(JSON.parse(text));
  });

  it.each([
    ['nothing', ''],
    ['only spaces', '  '],
    ['a truncated body', '{"a":1'],
    ['a trailing comma', '{"a":1,}'],
    ['NaN', '{"a":NaN}'],
    ['a byte order mark', '\ufeff{}'],
    ['single quotes', "{'a':1}"],
    ['two values', '{} {}'],
    ['an open string', '{"a":"'],
    ['a lone backslash', '"\\"'],
  ])('refuses %s as malformed', (_, text) => {
    expect(codeOf(text)).toBe('malformed_json');
  });

  it('refuses bytes that are not UTF-8', () => {
    expect(() => parseJson(Buffer.from([0x22, 0xff, 0xfe, 0x22]))).toThrow('not UTF-8');
  });

  it('refuses a key that is given twice, however it is written, and says where', () => {
    const error = caught('{"list":[{"a":1,"b":2},{"a":1,"\\u0061":2}]}');
    expect(error).toMatchObject({
      code: 'malformed_json',
      details: { errors: [{ pointer: '/list/1/a', code: 'duplicate_key' }] },
    });
    expect(parse('{"a":{"a":1},"b":[{"a":1},{"a":2}]}')).toBeTruthy();
  });

  it('refuses keys that reach for a prototype, wherever they are', () => {
    expect(codeOf('{"x":[{"__proto__":{"admin":true}}]}')).toBe('forbidden_key');
    expect(codeOf('{"\\u005f_proto__":1}')).toBe('forbidden_key');
    expect(codeOf('{"constructor":{"prototype":{"admin":true}}}')).toBe('forbidden_key');
    expect(parse('{"constructor":"Smith & Sons","prototype":3}')).toEqual({
      constructor: 'Smith & Sons',
      prototype: 3,
    });
  });

  it('takes 32 levels and refuses the 33rd', () => {
    expect(parse('['.repeat(32) + ']'.repeat(32))).toBeTruthy();
    expect(codeOf('['.repeat(33) + ']'.repeat(33))).toBe('too_deep');
    expect(codeOf('{"a":'.repeat(100_000))).toBe('too_deep');
  });

  it('refuses a hundred thousand keys in one object, and millions of values', () => {
    const keys = Array.from({ length: 100_000 }, (_, index) => `"${index}":0`);
    expect(codeOf(`{${keys}}`)).toBe('too_deep');
    expect(codeOf(`[${'0,'.repeat(2_100_000)}0]`)).toBe('too_deep');
  });

  it('refuses numbers that would change in silence, with a pointer', () => {
    for (const number of ['9007199254740993', '-9007199254740992', '1e999', `1${'0'.repeat(400)}.5`]) {
      const error = caught(`{"config":{"id":${number}}}`);
      expect(error).toMatchObject({
        code: 'invalid',
        details: { errors: [{ pointer: '/config/id', code: 'out_of_range' }] },
      });
    }
    expect(parse('[0.1234567890123456789, 1e21, -0]')).toHaveLength(3);
  });

  it('looks at nothing inside strings', () => {
    const text = JSON.stringify({ a: '"b":1,"b":2}]{[1e999', b: '\\', c: '\\"__proto__":' });
    expect(parse(text)).toEqual(JSON.parse(text));
  });
});

function caught(text: string): SheafError {
  try {
    parse(text);
  } catch (error) {
    if (errorCode(error) !== undefined) return error as SheafError;
    throw error;
  }
  throw new Error('nothing was refused');
}

function codeOf(text: string) {
  return caught(text).code;
}
