import { describe, expect, it } from 'vitest';
import { DEFAULTS, type EngineOptions, resolveOptions } from '../src/options.ts';

describe('the options of an engine', () => {
  it('have a default, but for the folder', () => {
    expect(resolveOptions({ data_dir: 'x' })).toEqual({ ...DEFAULTS, data_dir: 'x' });
    expect(resolveOptions({ data_dir: 'x', concurrency: 2 }).concurrency).toBe(2);
  });

  it('that are undefined are as good as not given', () => {
    const given = { data_dir: 'x', concurrency: undefined } as unknown as EngineOptions;
    expect(resolveOptions(given).concurrency).toBe(DEFAULTS.concurrency);
  });

  it('of a mistyped name are refused with the nearest right one', () => {
    const given = { data_dir: 'x', concurency: 2 } as EngineOptions;
    expect(() => resolveOptions(given)).toThrow('There is no option concurency. Did you mean concurrency?');
  });

  it.each<[string, object]>([
    ['no folder', { data_dir: '' }],
    ['a folder that is a number', { data_dir: 5 }],
    ['a fraction of a slot', { concurrency: 1.5 }],
    ['no slots', { concurrency: 0 }],
    ['slots as text', { concurrency: '4' }],
    ['a negative drain', { drain_ms: -1 }],
    ['a drain that is no number', { drain_ms: Number.NaN }],
    ['an endless retention', { retention_days: Number.POSITIVE_INFINITY }],
    ['an unknown recovery', { recovery: 'retry' }],
    ['processors that are no list', { processors: 'photos' }],
    ['a processor that is none', { processors: [{ name: 'x' }] }],
    ['a processor that is nothing', { processors: [null] }],
    ['packs that are no list', { packs: {} }],
    ['a pack that is none', { packs: [{ name: 'x' }] }],
    ['an onError that cannot be called', { onError: 5 }],
    ['a work that is neither', { work: 'yes' }],
  ])('are refused with %s, by name', (_, wrong) => {
    const given = { data_dir: 'x', ...wrong } as EngineOptions;
    const [name = ''] = Object.keys(wrong);
    expect(() => resolveOptions(given)).toThrow(expect.objectContaining({ code: 'bad_config' }));
    expect(() => resolveOptions(given)).toThrow(`The option ${name} is `);
  });
});
