import { type ItemDone, type Json, type SheafEvent, toWire } from '@sheaf/protocol';

/** One message to a live connection, ready to send. */
export type Frame = {
  batch_id: string;
  /** The number of a stored event; null for news that may be dropped. */
  stored_seq: number | null;
  text: string;
};

/** Items that end in one second and still get a message each. */
const SINGLY_PER_SECOND = 300;

/** The topics an event belongs to. */
export function topicsOf(event: SheafEvent): string[] {
  const { batch_id } = event;
  switch (event.type) {
    case 'batch_jobs_complete':
    case 'item_progress':
      return [`items:${batch_id}`];
    case 'items_added':
    case 'items_retried':
    case 'item_removed':
    case 'batch_deleted':
      return ['batches', `batch:${batch_id}`, `items:${batch_id}`];
    default:
      return ['batches', `batch:${batch_id}`];
  }
}

/** A stored event as a frame, live or replayed. */
export function frameOf(event: SheafEvent): Frame {
  const storedSeq = 'at' in event ? event.seq : null;
  return { batch_id: event.batch_id, stored_seq: storedSeq, text: JSON.stringify(toWire(event)) };
}

/**
 * Makes the frames of events. Items that end get a frame each, as callers of old expect, as long as
 * they are few; beyond that one frame carries all that ended together.
 *
 * @param now Milliseconds of any steady clock.
 */
export function createFrames(now: () => number): (event: SheafEvent) => Frame[] {
  let second = now();
  const ended = new Map<string, number>();
  return (event) => {
    if (event.type !== 'batch_jobs_complete') return [frameOf(event)];
    if (now() - second >= 1_000) {
      second = now();
      ended.clear();
    }
    const { batch_id, jobs } = event;
    const count = (ended.get(batch_id) ?? 0) + jobs.length;
    ended.set(batch_id, count);
    if (count > SINGLY_PER_SECOND) return [frameOf(event)];
    return jobs.map((job) => ({
      batch_id,
      stored_seq: null,
      text: JSON.stringify(itemFrame(batch_id, job)),
    }));
  };
}

function itemFrame(batchId: string, job: ItemDone) {
  return { type: 'batch_job_complete', batch_id: batchId, ...job, ...variantOf(job.result) };
}

/** Results of generated assets name the variant they made; their callers look for it beside the result. */
function variantOf(result: Json): { result_variant_id?: Json } {
  if (typeof result !== 'object' || result === null || Array.isArray(result)) return {};
  const { result_variant_id } = result;
  return result_variant_id === undefined ? {} : { result_variant_id };
}
