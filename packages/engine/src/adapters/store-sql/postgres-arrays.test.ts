import { expect, test } from 'vitest';
import { arrayLiteral } from './postgres-arrays.ts';

test('writes numbers, texts and what is missing', () => {
  expect(arrayLiteral([1, null, 2])).toBe('{1,null,2}');
  expect(arrayLiteral(['a', undefined, 'NULL'])).toBe('{"a",null,"NULL"}');
  expect(arrayLiteral([])).toBe('{}');
});

test('escapes what ends a text, and nothing else', () => {
  expect(arrayLiteral(['say "x"', 'a\\b'])).toBe(String.raw`{"say \"x\"","a\\b"}`);
});

test('leaves control characters as they are', () => {
  expect(arrayLiteral(['a\nb', null, 'q"\t'])).toBe('{"a\nb",NULL,"q\\"\t"}');
});

test('takes a backslash before a letter for what it is', () => {
  expect(arrayLiteral([String.raw`c:\new`])).toBe(String.raw`{"c:\\new"}`);
});
