import { type Batch, estimateRemaining, type Item, isFinal, type SheafEvent } from '@sheaf/protocol';
import type { BatchNews } from './message.ts';

/** What is known here of a batch somebody may listen to, and what is to be read about it. */
export type Watched = {
  readonly space: string;
  readonly batch_id: string;
  /** The last stored event that was told here; null before the first. */
  last: number | null;
  /** While `last` is null: the first event that is known to be news. */
  first: number;
  /** What happened before this was told, or nobody listened. */
  readonly seen_at: number;
  /** To be read and told next. */
  due: { events: boolean; progress: boolean; ended: Set<number> };
  isBusy: boolean;
  samples: Sample[];
};

/** The counters of a moment, to tell the speed by. */
type Sample = { ran_ms: number; finished: number; bytes: number };

/** The speed is that of about so much running time. */
const SPEED_MS = 10_000;

/** Frames come four times a second at most. */
const MAX_SAMPLES = 60;

export function watch(space: string, batchId: string, seenAt: number): Watched {
  const due = { events: false, progress: false, ended: new Set<number>() };
  return {
    space,
    batch_id: batchId,
    seen_at: seenAt,
    last: null,
    first: Number.POSITIVE_INFINITY,
    due,
    isBusy: false,
    samples: [],
  };
}

export function hasDue({ due }: Watched): boolean {
  return due.events || due.progress || due.ended.size > 0;
}

/** Notes what another process said. */
export function noteNews(watched: Watched, { first, progress, ended }: BatchNews): void {
  if (first > 0) noteEvent(watched, first);
  if (progress) watched.due.progress = true;
  for (const seq of ended) watched.due.ended.add(seq);
}

export function noteEvent(watched: Watched, seq: number): void {
  watched.first = Math.min(watched.first, seq);
  watched.due.events = true;
}

/**
 * Notes how many events a batch is known to have: one of them may not have been told, because the answer
 * of the transaction that stored it got lost.
 */
export function noteReached(watched: Watched, seq: number): void {
  // Before the first one that is told here, only what happens from now on is news.
  if (watched.last === null) noteEvent(watched, seq + 1);
  else if (seq > watched.last) noteEvent(watched, seq);
}

/** The frame its own process would have sent, by the counters in the Store. */
export function progressFrame(watched: Watched, batch: Batch): SheafEvent {
  const finished = batch.total_items - batch.pending_items - batch.running_items;
  const now = { ran_ms: batch.ran_ms, finished, bytes: batch.done_bytes };
  watched.samples = [...watched.samples, now]
    .filter(({ ran_ms }) => ran_ms >= now.ran_ms - SPEED_MS)
    .slice(-MAX_SAMPLES);
  const since = watched.samples[0] ?? now;
  const isActive = !isFinal(batch.status) && batch.status !== 'paused';
  const seconds = (now.ran_ms - since.ran_ms) / 1000;
  const rate = (count: number) => (seconds > 0 && isActive ? Math.round((count / seconds) * 10) / 10 : 0);
  const pace = {
    remaining: batch.total_items - finished,
    overall: { items: finished, ms: now.ran_ms },
    recent: { items: finished - since.finished, ms: now.ran_ms - since.ran_ms },
  };
  return {
    type: 'batch_progress',
    batch_id: batch.id,
    seq: batch.event_seq,
    status: batch.status,
    total: batch.total_items,
    completed: batch.completed_items,
    failed: batch.failed_items,
    running: batch.running_items,
    percent_complete: batch.percent_complete,
    estimated_time_remaining_ms: isActive ? estimateRemaining(pace) : null,
    items_per_second: rate(finished - since.finished),
    bytes_per_second: rate(now.bytes - since.bytes),
  };
}

export function endedFrame(batchId: string, items: readonly Item[]): SheafEvent {
  const jobs = items.map(({ id, status, result }) => ({
    job_id: id,
    success: status === 'completed',
    result,
  }));
  return { type: 'batch_jobs_complete', batch_id: batchId, jobs };
}
