import fc from 'fast-check';
import { expect, test } from 'vitest';
import { failureOf } from './failure.ts';
import { checkJson, resultToJson } from './result-json.ts';

const anything = fc.anything({
  withBigInt: true,
  withBoxedValues: true,
  withDate: true,
  withMap: true,
  withNullPrototype: true,
  withObjectString: true,
  withSet: true,
  withSparseArray: true,
  withTypedArray: true,
  withUnicodeString: true,
});

test('answers JSON or a problem for any value, and never throws', () => {
  fc.assert(
    fc.property(anything, (value) => {
      const answer = resultToJson(value);
      if ('problem' in answer) expect(answer.problem).toMatch(/^The result /);
      else if (answer.json !== null) expect(() => JSON.parse(answer.json ?? '')).not.toThrow();
    }),
    { numRuns: 2_000 },
  );
});

test('keeps every JSON value as it is, but for NUL and half characters', () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
      const answer = resultToJson(value);
      // An own __proto__ is JSON too, and refused.
      fc.pre('json' in answer);
      const clean = JSON.stringify(value).replaceAll(/\\u(?:0000|d[89a-f]..)/g, '\ufffd');
      // Without a backslash before the escape, what is cleaned can be said in one line.
      if (!JSON.stringify(value).includes('\\\\')) expect(answer.json ?? 'null').toBe(clean);
      expect(answer.json ?? '').not.toMatch(/(?<!\\)(?:\\\\)*\\u0000/);
    }),
    { numRuns: 1_000 },
  );
});

test('makes clean data of any thrown value', () => {
  fc.assert(
    fc.property(anything, (thrown) => {
      const { error, retry_after_ms } = failureOf(thrown, '/input');
      expect(error.code).toMatch(/^[a-z][a-z0-9_]{0,63}$/);
      expect(error.message.length).toBeLessThanOrEqual(2_000);
      expect(error.message).not.toBe('');
      expect(error.message.isWellFormed() && !error.message.includes('\0')).toBe(true);
      expect(retry_after_ms === null || Number.isInteger(retry_after_ms)).toBe(true);
    }),
    { numRuns: 2_000 },
  );
});

test('takes JSON text from elsewhere only within the limits', () => {
  expect(checkJson('{"a":"\\u0000\\\\u0000"}')).toEqual({ json: '{"a":"\ufffd\\\\u0000"}' });
  expect(checkJson('x'.repeat(262_145))).toHaveProperty('problem');
  expect(checkJson(17)).toHaveProperty('problem');
  expect(checkJson(null)).toEqual({ json: null });
});
