import {
  type Eta,
  estimateRemaining,
  type ItemDone,
  itemId,
  type Json,
  type Pace,
  percentComplete,
  type RateLimit,
} from '@sheaf/protocol';
import type { Clock } from '../ports/clock.ts';
import type { Events } from '../ports/events.ts';
import type { BatchPulse, LeasedItem, Outcome } from '../ports/leasing.ts';
import type { RunNews } from '../ports/runner.ts';

/** Progress frames of one batch come at most this often; the last state is always sent. */
const FRAME_MS = 250;

/** The recent pace is that of the last two minutes. */
const WINDOW_MS = 120_000;

/** Samples kept of that window. */
const MAX_SAMPLES = 240;

/** Batches watched at the same time. */
const MAX_WATCHED = 10_000;

/** Speed shown now: of about the last ten seconds. */
const SPEED_MS = 10_000;

/** An item's own progress is told at most this often. */
const NEWS_MS = 250;

export type Speed = {
  estimated_time_remaining_ms: Eta | null;
  items_per_second: number;
  bytes_per_second: number;
};

/** Turns what the Recorder learns into live progress: rates, time left, frames for listeners. */
export type Pulses = {
  beat(pulse: BatchPulse, ended: readonly Outcome[]): void;
  news(batchId: string, space: string, item: LeasedItem, news: RunNews): void;
  /** The speed of a batch as of now; null rates when nothing was seen of it in this process. */
  speed(batch: {
    id: string;
    finished: number;
    total: number;
    ran_ms: number;
    rate_limit: RateLimit | null;
    isActive: boolean;
  }): Speed;
  close(): void;
};

type Sample = { ran_ms: number; finished: number; bytes: number; at: number };
type Watched = {
  samples: Sample[];
  last: BatchPulse;
  sentAt: number;
  timer: NodeJS.Timeout | null;
  done: ItemDone[];
};

export function createPulses(options: { events: Events; clock: Clock }): Pulses {
  const { events, clock } = options;
  const watched = new Map<string, Watched>();
  const told = new Map<string, number>();

  function beat(pulse: BatchPulse, ended: readonly Outcome[]): void {
    const at = clock.now();
    let batch = watched.get(pulse.id);
    if (batch === undefined) {
      // A batch that is cancelled says no last word: the one unheard of for longest makes room.
      if (watched.size >= MAX_WATCHED) watched.delete(watched.keys().next().value ?? '');
      batch = { samples: [], last: pulse, sentAt: 0, timer: null, done: [] };
      watched.set(pulse.id, batch);
    }
    batch.last = pulse;
    addSample(batch, { ran_ms: pulse.ran_ms, finished: finishedOf(pulse), bytes: pulse.done_bytes, at });
    // Bounded: who listens to items of fast batches gets the first of each frame, and reads the rest.
    for (const outcome of ended) {
      if (batch.done.length < 1_000 && outcome.status !== 'retry') batch.done.push(toDone(pulse.id, outcome));
    }
    const wait = batch.sentAt + FRAME_MS - at;
    if (wait <= 0) send(batch);
    else batch.timer ??= setTimeout(send, wait, batch).unref();
  }

  function send(batch: Watched): void {
    if (batch.timer !== null) clearTimeout(batch.timer);
    batch.timer = null;
    batch.sentAt = clock.now();
    const { last } = batch;
    events.publish(last.space, {
      type: 'batch_progress',
      batch_id: last.id,
      seq: last.event_seq,
      status: last.status,
      total: last.total_items,
      completed: last.completed_items,
      failed: last.failed_items,
      running: last.running_items,
      percent_complete: percentComplete(finishedOf(last), last.total_items),
      ...speedOf(batch, {
        remaining: last.total_items - finishedOf(last),
        isActive: isWorking(last),
        rate_limit: last.rate_limit,
        at: batch.sentAt,
      }),
    });
    if (batch.done.length > 0) {
      events.publish(last.space, { type: 'batch_jobs_complete', batch_id: last.id, jobs: batch.done });
      batch.done = [];
    }
    if (!isWorking(last)) watched.delete(last.id);
  }

  return {
    beat,
    news(batchId, space, item, { step, percent }) {
      const key = itemId(batchId, item.seq);
      const at = clock.now();
      if (at - (told.get(key) ?? 0) < NEWS_MS) return;
      if (told.size > 10_000) told.clear();
      told.set(key, at);
      events.publish(space, { type: 'item_progress', batch_id: batchId, seq: item.seq, step, percent });
    },
    speed({ id, finished, total, ran_ms, rate_limit, isActive }) {
      const batch = watched.get(id);
      const remaining = total - finished;
      if (batch !== undefined) return speedOf(batch, { remaining, isActive, rate_limit, at: clock.now() });
      const overall = { items: finished, ms: ran_ms };
      const fastest = paceOf(rate_limit);
      const eta = isActive ? estimateRemaining({ remaining, overall, recent: null, fastest }) : null;
      return { estimated_time_remaining_ms: eta, items_per_second: 0, bytes_per_second: 0 };
    },
    close() {
      for (const { timer } of watched.values()) if (timer !== null) clearTimeout(timer);
      watched.clear();
    },
  };
}

/** Thins the older half out when there are too many: the window stays, its grain gets coarser. */
function addSample(batch: Watched, sample: Sample): void {
  batch.samples.push(sample);
  while ((batch.samples[0]?.at ?? sample.at) < sample.at - WINDOW_MS) batch.samples.shift();
  if (batch.samples.length > MAX_SAMPLES)
    batch.samples = batch.samples.filter((_, index) => index % 2 === 0 || index > MAX_SAMPLES / 2);
}

function speedOf(
  batch: Watched,
  {
    remaining,
    isActive,
    rate_limit,
    at,
  }: { remaining: number; isActive: boolean; rate_limit: RateLimit | null; at: number },
): Speed {
  const last = batch.samples.at(-1);
  const first = batch.samples[0];
  if (last === undefined || first === undefined || !isActive) {
    return { estimated_time_remaining_ms: null, items_per_second: 0, bytes_per_second: 0 };
  }
  const now = batch.samples.find((sample) => sample.at >= last.at - SPEED_MS) ?? first;
  // When nothing has ended since, the speed of then is none of now.
  const seconds = at - last.at > SPEED_MS ? 0 : Math.max((last.at - now.at) / 1000, 0);
  const rate = (count: number) => (seconds > 0 ? Math.round((count / seconds) * 10) / 10 : 0);
  const recent = { items: last.finished - first.finished, ms: last.ran_ms - first.ran_ms };
  const overall = { items: last.finished, ms: last.ran_ms };
  return {
    estimated_time_remaining_ms: estimateRemaining({
      remaining,
      overall,
      recent,
      fastest: paceOf(rate_limit),
    }),
    items_per_second: rate(last.finished - now.finished),
    bytes_per_second: rate(last.bytes - now.bytes),
  };
}

function paceOf(limit: RateLimit | null): Pace | null {
  return limit === null ? null : { items: limit.items, ms: limit.per_ms };
}

function finishedOf(pulse: BatchPulse): number {
  return pulse.completed_items + pulse.failed_items + pulse.skipped_items + pulse.cancelled_items;
}

function isWorking(pulse: BatchPulse): boolean {
  return pulse.status === 'running' || pulse.status === 'queued';
}

function toDone(batchId: string, outcome: Outcome): ItemDone {
  const result: Json = outcome.result === null ? null : (JSON.parse(outcome.result) as Json);
  return { job_id: itemId(batchId, outcome.seq), success: outcome.status === 'completed', result };
}
