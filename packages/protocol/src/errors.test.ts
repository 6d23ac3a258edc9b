import { describe, expect, it } from 'vitest';
import { ERRORS, errorCode, nearest, SheafError } from './errors.ts';

describe('the table of errors', () => {
  it('gives every code a status, an exit code and a meaning', () => {
    for (const [code, { status, exit, means }] of Object.entries(ERRORS)) {
      expect(code).toMatch(/^[a-z][a-z_]*$/);
      expect(status).toBeGreaterThanOrEqual(400);
      expect(status).toBeLessThan(600);
      expect(exit).toBeGreaterThan(0);
      expect(exit).toBeLessThan(126);
      expect(means).toMatch(/\.$/);
    }
  });

  it('calls nothing retryable that the same call can never mend', () => {
    for (const { status, retryable } of Object.values(ERRORS)) {
      if (status === 422 || status === 404 || status === 400) expect(retryable).toBe(false);
    }
  });
});

describe('an error', () => {
  it('carries code, message, details and cause', () => {
    const cause = new Error('below');
    const error = new SheafError('not_found', 'Batch not found', { id: 'x' }, cause);
    expect(error).toMatchObject({ name: 'SheafError', code: 'not_found', message: 'Batch not found', cause });
    expect(error.details).toEqual({ id: 'x' });
    expect(new SheafError('invalid', 'm')).not.toHaveProperty('cause');
  });

  it('is known by its code across copies of the package', () => {
    expect(errorCode({ code: 'wrong_status' })).toBe('wrong_status');
    expect(errorCode(new SheafError('invalid', 'm'))).toBe('invalid');
  });

  it('of somebody else has no code of ours', () => {
    for (const value of [
      null,
      undefined,
      'not_found',
      {},
      { code: 5 },
      { code: 'ENOENT' },
      { code: 'toString' },
      { code: 'constructor' },
      { code: '__proto__' },
    ]) {
      expect(errorCode(value)).toBeUndefined();
    }
  });
});

describe('the nearest known words', () => {
  const known = ['photos.develop', 'photos.catalogue', 'renders.overlay', 'probe'];

  it('come best first', () => {
    expect(nearest('photos.develp', known)).toEqual(['photos.develop']);
    expect(nearest('PROBE', known)).toEqual(['probe']);
    expect(nearest('cot', ['cat', 'cot', 'coat'])).toEqual(['cot', 'cat', 'coat']);
  });

  it('are none for a word like no other', () => {
    expect(nearest('transcription', known)).toEqual([]);
    expect(nearest('', known)).toEqual([]);
    expect(nearest('anything', [])).toEqual([]);
  });

  it('are at most three', () => {
    expect(nearest('aa', ['ab', 'ac', 'ad', 'ae'])).toHaveLength(3);
  });
});
