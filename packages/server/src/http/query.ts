import { BATCH_STATUSES, ITEM_STATUSES } from '@sheaf/protocol';
import { z } from 'zod';
import { validate } from './validate.ts';

/** The most rows a page may have. */
const MAX_PAGE = 200;

const DEFAULT_PAGE = 50;

/** Parses a query string: every parameter is a text, given once, and known by name. */
export function parseQuery<T>(schema: z.ZodType<T>, query: unknown): T {
  return validate(schema, query, 'invalid_query');
}

/** For addresses without parameters. */
export const noQuery = z.strictObject({});

function wholeNumber(least: number, most: number) {
  return z
    .string()
    .regex(/^\d{1,10}$/, `It must be a whole number from ${least} to ${most}.`)
    .transform(Number)
    .pipe(z.int().min(least).max(most));
}

const flag = z.enum(['true', 'false']).transform((text) => text === 'true');

const page = wholeNumber(1, MAX_PAGE).default(DEFAULT_PAGE);
const search = z.string().min(1).max(200);
const cursor = z.string().min(1).max(100);

/** A comma list of words, each one of the known. */
function wordList<const Word extends string>(words: readonly Word[]) {
  return z
    .string()
    .min(1)
    .transform((text) => text.split(','))
    .pipe(z.array(z.enum(words)).max(words.length));
}

const day = z.iso.date();

const label = z
  .string()
  .max(320)
  .regex(/^[^=]+=/, 'It must be name=value.')
  .transform((text) => ({
    name: text.slice(0, text.indexOf('=')),
    value: text.slice(text.indexOf('=') + 1),
  }));

export const listBatchesQuery = z
  .strictObject({
    status: wordList(BATCH_STATUSES).optional(),
    customer_prefix: z.string().min(1).max(100).optional(),
    date_from: day.optional(),
    date_to: day.optional(),
    processor: z.string().min(1).max(255).optional(),
    label: label.optional(),
    session_id: wholeNumber(0, 2_147_483_647).optional(),
    search: search.optional(),
    sort_by: z
      .enum(['created_at', 'updated_at', 'name', 'status', 'total_items', 'priority', 'batch_date'])
      .optional(),
    sort_order: z.enum(['ASC', 'DESC']).optional(),
    limit: page,
    offset: wholeNumber(0, 2_147_483_647).default(0),
  })
  .refine(
    ({ date_from, date_to }) => date_from === undefined || date_to === undefined || date_from <= date_to,
    {
      path: ['date_from'],
      message: 'It must not be after date_to.',
    },
  );

/** Stands alone: what it finds is a handful. */
export const findBatchesQuery = z.strictObject({ find: z.string().min(1).max(255) });

export const eventsQuery = z.strictObject({
  since: wholeNumber(0, 2_147_483_647).default(0),
  limit: wholeNumber(1, 1_000).default(1_000),
});

export const getBatchQuery = z.strictObject({ items_limit: wholeNumber(0, MAX_PAGE).default(20) });

export const progressQuery = z.strictObject({ items_limit: wholeNumber(0, MAX_PAGE).default(MAX_PAGE) });

export const listItemsQuery = z.strictObject({
  status: wordList(ITEM_STATUSES).optional(),
  cause: z.string().min(1).max(500).optional(),
  search: search.optional(),
  after: cursor.optional(),
  limit: page,
});

export const logsQuery = z.strictObject({
  seq: wholeNumber(1, 100_000_000).optional(),
  after: cursor.optional(),
  limit: page,
});

export const itemLogsQuery = logsQuery.omit({ seq: true });

export const deleteQuery = z.strictObject({ force: flag.default(false) });
