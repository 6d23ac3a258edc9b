import { errorCode, isBatchId, TOPIC_PATTERN } from '@sheaf/protocol';
import { z } from 'zod';
import { parseJson } from '../body/strict-json.ts';

const topicSchema = z
  .string()
  .regex(TOPIC_PATTERN)
  .refine((topic) => topic === 'batches' || isBatchId(batchOf(topic)));

const messageSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('subscribe'), topic: topicSchema, since: z.int().min(0).optional() }),
  z.strictObject({ type: z.literal('unsubscribe'), topic: topicSchema }),
]);

export type Message = z.infer<typeof messageSchema>;

/** What a client says, or null when it cannot be understood. */
export function parseMessage(data: Uint8Array): Message | null {
  try {
    return messageSchema.safeParse(parseJson(data)).data ?? null;
  } catch (error) {
    if (errorCode(error) !== undefined) return null;
    throw error;
  }
}

/** The batch of a topic that is about one. */
export function batchOf(topic: string): string {
  return topic.slice(topic.indexOf(':') + 1);
}
