import { SheafError } from '@sheaf/protocol';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { check, invalid } from './check.ts';

const schema = z.strictObject({
  name: z.string(),
  size: z.int().min(1).default(3),
  'a/b~c': z.strictObject({ list: z.array(z.number()) }).optional(),
});

function refusal(value: unknown, pointer?: string): SheafError {
  try {
    check(schema, value, pointer);
  } catch (error) {
    if (error instanceof SheafError) return error;
    throw error;
  }
  throw new Error('It was accepted.');
}

describe('checking a value', () => {
  it('answers it with its defaults filled in', () => {
    expect(check(schema, { name: 'a' })).toEqual({ name: 'a', size: 3 });
  });

  it('names each wrong field by its pointer', () => {
    const { code, details } = refusal({ name: 5, size: 0 });
    expect(code).toBe('invalid');
    expect(details.errors).toMatchObject([{ pointer: '/name' }, { pointer: '/size' }]);
  });

  it('names each unknown field at its own place', () => {
    expect(refusal({ name: 'a', colour: 1, 'sh/ape': 2 }).details.errors).toMatchObject([
      { pointer: '/colour', code: 'unknown_field' },
      { pointer: '/sh~1ape', code: 'unknown_field' },
    ]);
  });

  it('escapes what a pointer would misread', () => {
    const { details } = refusal({ name: 'a', 'a/b~c': { list: [1, 'x'] } });
    expect(details.errors).toMatchObject([{ pointer: '/a~1b~0c/list/1' }]);
  });

  it('begins pointers where the value stands', () => {
    expect(refusal({ name: 5 }, '/config').details.errors).toMatchObject([{ pointer: '/config/name' }]);
    expect(refusal(5, '/config').details.errors).toMatchObject([{ pointer: '/config' }]);
    expect(refusal(5).message).not.toMatch(/^:/);
  });

  it('says the first problem, and how many more there are', () => {
    expect(refusal({ name: 5, size: 0 }).message).toMatch(/^\/name: .*\(and 1 more\)$/);
    expect(refusal({ name: 5 }).message).not.toContain('more');
  });

  it('names a hundred at most and counts the rest', () => {
    const many = Object.fromEntries(Array.from({ length: 250 }, (_, index) => [`x${index}`, 1]));
    const { details } = refusal({ name: 'a', ...many });
    expect(details.errors).toHaveLength(100);
    expect(details.error_count).toBe(250);
  });

  it('repeats no more than a little of what it was given', () => {
    const { message, details } = refusal({ name: 'a', ['x'.repeat(100_000)]: 1 });
    expect(message.length).toBeLessThan(500);
    expect(JSON.stringify(details).length).toBeLessThan(1_000);
  });

  it('has a code of its own when nothing but names is wrong', () => {
    const error = { pointer: '/name', message: 'The name is odd.' };
    expect(invalid([{ ...error, code: 'invalid_name' }]).code).toBe('invalid_name');
    expect(
      invalid([
        { ...error, code: 'invalid_name' },
        { ...error, code: 'invalid' },
      ]).code,
    ).toBe('invalid');
  });
});
