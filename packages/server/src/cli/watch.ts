import type { Client } from '@sheaf/client';
import {
  type Batch,
  type Cause,
  errorCode,
  isFinal,
  type Progress,
  percentComplete,
  type Wire,
} from '@sheaf/protocol';

/** What is known of a batch at a moment. */
export type Snapshot = {
  batch: Wire<Batch>;
  progress: Wire<Progress>;
  causes: Wire<Cause>[];
  /** Set while the server does not answer: what is shown is from before. */
  isStale: boolean;
};

export type WatchOptions = {
  signal?: AbortSignal | undefined;
  /** Shortest time between two looks that nothing but counting asks for. @default 250 */
  gap_ms?: number;
  /** Also end when the batch is paused and waits for a person. */
  until_still?: boolean;
};

const LONGEST_GAP_MS = 1_000;

/** A server that restarts is back within this; after it the watch ends. */
const PATIENCE_MS = 60_000;

/**
 * Looks at a batch until it is final: whenever news come, and once a second in case none do. The
 * last snapshot is the end's own. Ends without an error when the signal aborts.
 *
 * @throws not_found when the batch is deleted meanwhile; unreachable when the server stays away.
 */
export async function* watch(
  client: Client,
  batchId: string,
  options: WatchOptions = {},
): AsyncGenerator<Snapshot, void> {
  const { signal, gap_ms = 250 } = options;
  const alarm = createAlarm(signal);
  const live = client.live({
    topics: [{ topic: `batch:${batchId}` }],
    // Counting may wait for the gap; a change of state is shown at once.
    onEvent: (event) => alarm.ring(event.type === 'batch_progress' ? gap_ms : 0),
    onResync: () => alarm.ring(0),
  });
  let last: Snapshot | null = null;
  let lostAt: number | null = null;
  try {
    while (!signal?.aborted) {
      alarm.reset();
      try {
        last = await look(client, batchId, last, signal);
        lostAt = null;
      } catch (error) {
        if (signal?.aborted) return;
        lostAt ??= performance.now();
        const isPassing = errorCode(error) === 'unreachable' || errorCode(error) === 'shutting_down';
        if (!isPassing || last === null || performance.now() - lostAt > PATIENCE_MS) throw error;
        last = { ...last, isStale: true };
      }
      yield last;
      if (!last.isStale && isOver(last.batch, options.until_still === true)) return;
      await alarm.wait(LONGEST_GAP_MS);
    }
  } finally {
    live.close();
    alarm.stop();
  }
}

/**
 * A snapshot of a batch that is still filling up, against all the items it is going to have: half of
 * the files uploaded and done is not 100 %. When that will be, nobody knows before the upload ends; and
 * nobody has to close it: the upload does.
 */
export function against(snapshot: Snapshot, expected: number): Snapshot {
  const { batch, progress } = snapshot;
  const missing = expected - batch.total_items;
  if (missing <= 0) return batch.open ? { ...snapshot, batch: { ...batch, open: false } } : snapshot;
  const finished = batch.total_items - batch.pending_items - batch.running_items;
  return {
    ...snapshot,
    batch: {
      ...batch,
      total_items: expected,
      pending_items: batch.pending_items + missing,
      percent_complete: percentComplete(finished, expected),
    },
    progress: { ...progress, estimated_time_remaining_ms: null },
  };
}

/** Whether nothing more will happen by itself. A full disk needs nobody: it goes on when there is room. */
function isOver(batch: Wire<Batch>, untilStill: boolean): boolean {
  if (isFinal(batch.status)) return true;
  if (!untilStill) return false;
  if (batch.status === 'awaiting_approval') return true;
  return batch.status === 'paused' && batch.pause_reason !== 'disk_full' && batch.running_items === 0;
}

async function look(
  client: Client,
  batchId: string,
  last: Snapshot | null,
  signal: AbortSignal | undefined,
): Promise<Snapshot> {
  // The batch after its progress: what is final is then read whole, never a count from before the end.
  const progress = await client.progress(batchId, signal === undefined ? {} : { signal });
  const batch = await client.get(batchId);
  const isSame =
    last !== null && last.batch.failed_items === batch.failed_items && last.batch.round === batch.round;
  const causes = isSame ? last.causes : batch.failed_items > 0 ? await client.causes(batchId) : [];
  return { batch, progress, causes, isStale: false };
}

/** Waits that news can end early. */
function createAlarm(signal: AbortSignal | undefined) {
  let due = Number.POSITIVE_INFINITY;
  let wake: (() => void) | null = null;
  let timer: NodeJS.Timeout | undefined;
  const fire = () => {
    clearTimeout(timer);
    wake?.();
  };
  signal?.addEventListener('abort', fire);
  const arm = () => {
    clearTimeout(timer);
    if (wake !== null) timer = setTimeout(fire, Math.max(0, due - performance.now()));
  };
  return {
    ring(delayMs: number) {
      due = Math.min(due, performance.now() + delayMs);
      arm();
    },
    reset() {
      due = Number.POSITIVE_INFINITY;
    },
    wait(longestMs: number): Promise<void> {
      due = Math.min(due, performance.now() + longestMs);
      return new Promise((resolve) => {
        wake = () => {
          wake = null;
          resolve();
        };
        if (signal?.aborted) fire();
        else arm();
      });
    },
    stop() {
      clearTimeout(timer);
      signal?.removeEventListener('abort', fire);
    },
  };
}
