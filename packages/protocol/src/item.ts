import { z } from 'zod';
import type { ItemStatus } from './states.ts';
import { isLongerJson, type Json, jsonSchema, nameSchema, plainText } from './text.ts';

/** The largest input and the largest result of an item, as JSON; more belongs into a file. */
export const MAX_ITEM_JSON_BYTES = 262_144;

const itemJsonSchema = jsonSchema.superRefine((value, context) => {
  if (isLongerJson(value, MAX_ITEM_JSON_BYTES)) {
    context.addIssue({ code: 'custom', message: 'The input is larger than 256 KiB; upload a file instead.' });
  }
});

/** An item as a caller hands it in: data, an uploaded file, or both. */
export const newItemSchema = z.strictObject({
  name: nameSchema.optional(),
  key: plainText(255, 1).optional(),
  input: itemJsonSchema.optional(),
  file_id: z.string().optional(),
});

export type NewItem = z.infer<typeof newItemSchema>;

/** A file that an item produced, or was given. */
export type ItemFile = {
  id: string;
  name: string;
  sha256: string;
  bytes: number;
  media_type: string;
};

/** What went wrong with an attempt, as data. */
export type Failure = {
  kind: 'retryable' | 'permanent' | 'timeout' | 'cancelled';
  code: string;
  message: string;
};

/** One unit of work of a batch, known by its `seq`. Times are milliseconds; the wire has ISO 8601. */
export type Item = {
  id: string;
  batch_id: string;
  seq: number;
  name: string;
  key: string | null;
  status: ItemStatus;
  input: Json;
  file: ItemFile | null;
  /** Attempts that are over. */
  attempt: number;
  result: Json;
  error: Failure | null;
  /** The fingerprint of the failure; equal for items that failed for the same reason. */
  cause: string | null;
  metrics: Record<string, number>;
  outputs: ItemFile[];
  duration_ms: number | null;
  retry_at: number | null;
  finished_at: number | null;
};

/** One try at an item that is over and was not its last. */
export type Attempt = {
  attempt: number;
  error: Failure;
  started_at: number;
  finished_at: number;
  worker: string;
};
