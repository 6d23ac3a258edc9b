import { type NewItem, newItemSchema, SheafError } from '@sheaf/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { toItemRow } from './item-row.ts';

/** The row, or what is thrown. */
function attempt(item: unknown, schema: z.ZodType | null = null): { row: unknown } | { error: unknown } {
  try {
    // A caller may hand in anything; that is the point here.
    return { row: toItemRow(item as NewItem, schema, '/items/6') };
  } catch (error) {
    return { error };
  }
}

const odd = fc.constantFrom<unknown>(
  undefined,
  null,
  0,
  -0,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  1n,
  '',
  '\0',
  '\uD800',
  ' ',
  'u\u0308ber.png',
  'x'.repeat(255),
  'x'.repeat(256),
  () => 1,
  Symbol('s'),
  new Date(5),
  new Map(),
  /x/,
  [],
  {},
  [undefined],
  { a: undefined },
  { a: [Number.NaN] },
  Object.create({ inherited: 1 }),
  new (class Odd {
    a = 1;
  })(),
);

const text = fc.oneof(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'binary' }), fc.string());
const value = fc.oneof(odd, text, fc.jsonValue(), fc.anything({ withNullPrototype: true }));
const item = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ name: value, key: value, input: value, file_id: value }, { requiredKeys: [] }),
  },
  { weight: 2, arbitrary: fc.record({ name: text, surprise: value }) },
  { weight: 1, arbitrary: value },
);

describe('making an item ready for the Store', () => {
  it('accepts exactly what the schema accepts, and makes the same of it', () => {
    fc.assert(
      fc.property(item, (given) => {
        const schema = newItemSchema.safeParse(given);
        const made = attempt(given);
        expect('row' in made).toBe(schema.success);
        if ('error' in made) {
          expect(made.error).toBeInstanceOf(SheafError);
        } else if (schema.success) {
          const { name, key, input, file_id } = schema.data;
          expect(made.row).toEqual({
            name: name ?? null,
            key: key ?? null,
            input: input === undefined || input === null ? null : JSON.stringify(input),
            file_id: file_id ?? null,
          });
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('refuses with pointers below the item', () => {
    expect(attempt({ name: '', key: '' })).toMatchObject({
      error: {
        code: 'invalid',
        details: { errors: [{ pointer: '/items/6/name' }, { pointer: '/items/6/key' }] },
      },
    });
    expect(attempt({ nmae: 'a' })).toMatchObject({
      error: { details: { errors: [{ pointer: '/items/6/nmae', code: 'unknown_field' }] } },
    });
  });

  it('has a code of its own for a name that cannot be one', () => {
    expect(attempt({ name: 'a\0b' })).toMatchObject({ error: { code: 'invalid_name' } });
  });

  it('checks the input by the schema of the processor, and keeps what that makes of it', () => {
    const schema = z.strictObject({ size: z.int().default(7) });
    expect(attempt({ input: {} }, schema)).toMatchObject({ row: { input: '{"size":7}' } });
    expect(attempt({ input: { size: 'x' } }, schema)).toMatchObject({
      error: { code: 'invalid', details: { errors: [{ pointer: '/items/6/input/size' }] } },
    });
    expect(attempt({}, schema)).toMatchObject({
      error: { details: { errors: [{ pointer: '/items/6/input' }] } },
    });
    expect(attempt({}, z.null())).toMatchObject({ row: { input: null } });
  });

  it('refuses what the schema of the processor makes and JSON cannot hold', () => {
    const schema = z.any().transform(() => 1n);
    expect(attempt({ input: 1 }, schema)).toMatchObject({ error: { code: 'invalid' } });
    expect(
      attempt(
        { input: 1 },
        z.any().transform(() => () => 1),
      ),
    ).toMatchObject({ error: { code: 'invalid' } });
  });

  it('measures the input in bytes', () => {
    expect(attempt({ input: 'x'.repeat(262_142) })).toHaveProperty('row');
    expect(attempt({ input: 'x'.repeat(262_143) })).toMatchObject({ error: { code: 'invalid' } });
    expect(attempt({ input: '日'.repeat(100_000) })).toMatchObject({ error: { code: 'invalid' } });
  });

  it('survives an input that is nested without end', () => {
    let deep: unknown = 1;
    for (let level = 0; level < 200_000; level++) deep = [deep];
    expect(attempt({ input: deep })).toMatchObject({
      error: { code: expect.stringMatching(/invalid|too_deep/) },
    });
    const circle: unknown[] = [];
    circle.push(circle);
    expect(attempt({ input: circle })).toMatchObject({
      error: { code: expect.stringMatching(/invalid|too_deep/) },
    });
  });
});
