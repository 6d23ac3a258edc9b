import { SheafError } from '@sheaf/protocol';
import { describe, expect, it } from 'vitest';
import { createRegistry } from './registry.ts';

const registry = createRegistry('processor', [
  ['photos.develop', 1],
  ['photos.catalogue', 2],
  ['probe', 3],
] as const);

/** What is thrown by `call`. */
function thrownBy(call: () => unknown): SheafError {
  try {
    call();
  } catch (error) {
    if (error instanceof SheafError) return error;
    throw error;
  }
  throw new Error('Nothing was thrown.');
}

describe('a registry', () => {
  it('finds what it was given', () => {
    expect(registry.find('probe')).toBe(3);
    expect(registry.get('probe', 'unknown_processor', '/processor')).toBe(3);
    expect(registry.all()).toEqual([1, 2, 3]);
  });

  it('names the nearest for a name that is not there, and where it stood', () => {
    const error = thrownBy(() => registry.get('photos.devlop', 'unknown_processor', '/processor'));
    expect(error.code).toBe('unknown_processor');
    expect(error.message).toBe('There is no processor "photos.devlop". Did you mean photos.develop?');
    expect(error.details).toMatchObject({ near: ['photos.develop'], errors: [{ pointer: '/processor' }] });
  });

  it('guesses nothing for a name like no other', () => {
    const error = thrownBy(() => registry.get('transcription', 'unknown_template', '/template_id'));
    expect(error.message).toBe('There is no processor "transcription".');
    expect(error.details.near).toEqual([]);
  });

  it('repeats only the beginning of an endless name, escaped', () => {
    const error = thrownBy(() => registry.get(`\u001b[31m${'x'.repeat(5_000)}`, 'unknown_processor', '/p'));
    expect(error.message.length).toBeLessThan(200);
    expect(error.message).not.toContain('\u001b');
  });

  it('does not find what every object has', () => {
    for (const name of ['constructor', '__proto__', 'toString']) expect(registry.find(name)).toBeUndefined();
  });

  it('refuses two things of one name', () => {
    const error = thrownBy(() => createRegistry('template', [['a', 1] as const, ['a', 2] as const]));
    expect(error.code).toBe('bad_config');
    expect(error.message).toContain('There are two templates named a.');
  });
});
