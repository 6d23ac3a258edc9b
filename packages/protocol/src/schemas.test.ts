import { describe, expect, it } from 'vitest';
import { createBatchSchema, pauseSchema, retrySchema, updateBatchSchema } from './batch.ts';
import { newItemSchema } from './item.ts';
import { DEFAULT_POLICIES, policiesSchema } from './policies.ts';

const accepts = (value: unknown) => createBatchSchema.safeParse(value).success;

describe('a new batch', () => {
  it('needs nothing', () => {
    expect(createBatchSchema.parse({})).toEqual({});
  });

  it('takes every field that is documented', () => {
    const batch = {
      name: 'Autumn',
      description: 'All of it',
      processor: 'probe',
      template_id: 'web',
      config: { size: 5, deep: { list: [1, 'a', null, true] } },
      items: [{ name: 'a', key: 'k', input: { n: 1 }, file_id: 'fil_1' }],
      start: false,
      open: true,
      requires_approval: true,
      concurrency: 1_000,
      priority: 9,
      max_attempts: 100,
      backoff: { base_ms: 0, max_ms: 86_400_000 },
      item_timeout_ms: 86_400_000,
      failure_budget: { percent: 12.5, min_items: 5 },
      canary: { items: 3, min_pass_percent: 99.5 },
      rate_limit: { items: 10_000_000, per_ms: 86_400_000 },
      recovery: 'review',
      customer_prefix: 'PL_DXB',
      session_id: 0,
      labels: { colour: 'red' },
      metadata: { a: { b: 1 } },
      external_ids: { erp: '17' },
    };
    expect(createBatchSchema.parse(batch)).toEqual(batch);
  });

  it.each([
    ['an unknown field', { colour: 1 }],
    ['a field of another case', { maxAttempts: 3 }],
    ['a number as text', { concurrency: '4' }],
    ['a text as number', { name: 5 }],
    ['a fraction', { concurrency: 1.5 }],
    ['a negative number', { priority: -1 }],
    ['a number past the end', { priority: 10 }],
    ['zero where one is least', { concurrency: 0 }],
    ['too many at a time', { concurrency: 1_001 }],
    ['an endless number', { concurrency: Number.POSITIVE_INFINITY }],
    ['no number', { concurrency: Number.NaN }],
    ['a number past what is exact', { session_id: 2 ** 53 + 2 }],
    ['null where a value is needed', { name: null }],
    ['a text as truth', { start: 'true' }],
    ['a list as config', { config: [] }],
    ['a function in the config', { config: { a: () => 1 } }],
    ['NaN in the config', { config: { a: Number.NaN } }],
    ['a budget of both kinds', { failure_budget: { count: 1, percent: 1 } }],
    ['a budget of no kind', { failure_budget: { min_items: 1 } }],
    ['an unknown field of a budget', { failure_budget: { count: 1, what: 1 } }],
    ['a canary of nothing', { canary: { items: 0 } }],
    ['a rate of nothing', { rate_limit: { items: 0, per_ms: 1_000 } }],
    ['a rate in no time', { rate_limit: { items: 1, per_ms: 99 } }],
    ['a rate without its time', { rate_limit: { items: 1 } }],
    ['more than all must pass', { canary: { items: 1, min_pass_percent: 101 } }],
    ['a back-off without end', { backoff: { base_ms: 1 } }],
    ['a policy that is none', { recovery: 'retry' }],
    ['an empty name', { name: '' }],
    ['an empty label name', { labels: { '': 'x' } }],
    ['a label that is a number', { labels: { a: 1 } }],
    ['too many labels', { labels: Object.fromEntries(Array.from({ length: 65 }, (_, n) => [`l${n}`, ''])) }],
    ['items that are no list', { items: {} }],
    ['text', 'a batch'],
    ['a list', []],
    ['nothing', null],
  ])('is refused with %s', (_, batch) => {
    expect(accepts(batch)).toBe(false);
  });

  it.each(['description', 'customer_prefix'])(
    'is refused when %s holds what not every database keeps',
    (field) => {
      expect(accepts({ [field]: 'a\0b' })).toBe(false);
      expect(accepts({ [field]: 'a\uD800b' })).toBe(false);
    },
  );

  it('takes a description of several lines', () => {
    expect(accepts({ description: 'one\n\ttwo\r\nthree' })).toBe(true);
  });

  it('cannot change what all objects are', () => {
    const body: unknown = JSON.parse(
      '{"config":{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}}',
    );
    createBatchSchema.safeParse(body);
    expect({}).not.toHaveProperty('polluted');
  });

  it('has the defaults that its policies accept', () => {
    expect(policiesSchema.parse(DEFAULT_POLICIES)).toEqual(DEFAULT_POLICIES);
  });
});

describe('a new item', () => {
  it.each([
    ['an unknown field', { data: 'x' }],
    ['an empty key', { key: '' }],
    ['a long key', { key: 'x'.repeat(256) }],
    ['a key with a control character', { key: 'a\0b' }],
    ['a key with half a character', { key: '\uDC00' }],
    ['an input that is not JSON', { input: () => 1 }],
    ['an input with undefined inside', { input: { a: undefined } }],
    ['an input that is too large', { input: 'x'.repeat(262_143) }],
    ['an input that is too large in bytes', { input: '日'.repeat(100_000) }],
    ['a file by number', { file_id: 5 }],
  ])('is refused with %s', (_, item) => {
    expect(newItemSchema.safeParse(item).success).toBe(false);
  });

  it('takes an input of exactly 256 KiB', () => {
    expect(newItemSchema.safeParse({ input: 'x'.repeat(262_142) }).success).toBe(true);
  });

  it('takes any JSON value as input, null too', () => {
    for (const input of [null, 0, '', false, [], {}, [[null]]]) {
      expect(newItemSchema.safeParse({ input }).success).toBe(true);
    }
  });
});

describe('changes, retries and pauses', () => {
  it('of a batch name nothing that cannot be changed', () => {
    for (const field of ['status', 'id', 'processor', 'items', 'space', 'total_items', 'policies']) {
      expect(updateBatchSchema.safeParse({ [field]: 'x' }).success).toBe(false);
    }
  });

  it('by retry name items by whole numbers from 1', () => {
    expect(retrySchema.safeParse({ items: [1, 2] }).success).toBe(true);
    for (const items of [[], [0], [-1], [1.5], ['1'], 'all', Array(100_001).fill(1)]) {
      expect(retrySchema.safeParse({ items }).success).toBe(false);
    }
  });

  it('by retry name only outcomes that can be retried', () => {
    expect(retrySchema.safeParse({ status: ['failed', 'cancelled'] }).success).toBe(true);
    for (const status of [['completed'], ['running'], [], 'failed']) {
      expect(retrySchema.safeParse({ status }).success).toBe(false);
    }
  });

  it('by pause know two modes', () => {
    expect(pauseSchema.safeParse({ mode: 'now', force: true }).success).toBe(true);
    expect(pauseSchema.safeParse({ mode: 'later' }).success).toBe(false);
  });
});
