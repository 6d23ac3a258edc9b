import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromIso, toIso } from './time.ts';
import { toWire } from './wire.ts';

const NOON = Date.UTC(2026, 10, 5, 12);

describe('times on the wire', () => {
  it('are ISO 8601 in UTC with milliseconds', () => {
    expect(toIso(NOON)).toBe('2026-11-05T12:00:00.000Z');
    expect(toIso(null)).toBeNull();
  });

  it('come back as they went', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4_102_444_800_000 }), (at) => {
        expect(fromIso(toIso(at))).toBe(at);
      }),
    );
  });

  it('that are none are NaN, not a guess', () => {
    for (const text of ['', 'soon', '2026-13-40', '2026-11-05T25:00:00Z']) expect(fromIso(text)).toBeNaN();
  });
});

describe('the wire form', () => {
  it('turns every time into text, at any depth, and nothing else', () => {
    const value = {
      created_at: NOON,
      completed_at: null,
      at: NOON,
      ran_ms: NOON,
      format: 7,
      attempts: [{ started_at: NOON, duration_ms: 5 }],
      deep: { retry_at: NOON },
    };
    expect(toWire(value)).toEqual({
      created_at: '2026-11-05T12:00:00.000Z',
      completed_at: null,
      at: '2026-11-05T12:00:00.000Z',
      ran_ms: NOON,
      format: 7,
      attempts: [{ started_at: '2026-11-05T12:00:00.000Z', duration_ms: 5 }],
      deep: { retry_at: '2026-11-05T12:00:00.000Z' },
    });
  });

  it.each(['input', 'result', 'config', 'metadata', 'labels', 'external_ids', 'metrics'])(
    'leaves %s alone: it is not ours',
    (field) => {
      const value = { [field]: { taken_at: 5, at: 6, list: [{ seen_at: 7 }] } };
      expect(toWire(value)).toEqual(value);
    },
  );

  it('does not take a number in a list for a time', () => {
    expect(toWire({ at: [1, 2] })).toEqual({ at: [1, 2] });
  });

  it('does not change what it was given', () => {
    const value = { created_at: NOON, deep: { at: NOON } };
    toWire(value);
    expect(value).toEqual({ created_at: NOON, deep: { at: NOON } });
  });

  it('keeps a key that means trouble as a plain key', () => {
    const value: unknown = JSON.parse('{"list":[{"__proto__":{"at":5}}]}');
    const wire = JSON.stringify(toWire(value));
    expect(wire).toBe('{"list":[{"__proto__":{"at":"1970-01-01T00:00:00.005Z"}}]}');
  });
});
