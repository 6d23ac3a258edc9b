import { appendFileSync } from 'node:fs';
import type { Batch, BatchStatus, PauseReason, Wire } from '../../packages/protocol/src/index.ts';

export type Action =
  | 'create'
  | 'append'
  | 'pause'
  | 'pause_now'
  | 'resume'
  | 'cancel'
  | 'retry'
  | 'retry_cancelled'
  | 'retry_item'
  | 'priority'
  | 'concurrency';

/** What a client is about to ask. */
export type Wish = {
  action: Action;
  /** Null for a new batch. */
  batch_id: string | null;
  /** Items handed in. */
  count: number;
  /** The priority or concurrency asked for, or the item to retry. */
  value: number | null;
};

/** A wish that was sent. Its tag is in the names of its items, and makes a new batch only once. */
export type Call = Wish & { no: number; tag: string; round: number };

/** Items in the order they were handed in, by the call whose tag their names carry. */
export type Handed = { first_seq: number; count: number; tag: string };

/** The part of a batch that nothing but a stored move may change, as it stood after its event `event_seq`. */
export type State = {
  status: BatchStatus;
  pause_reason: PauseReason | null;
  round: number;
  priority: number;
  concurrency: number;
  total_items: number;
  event_seq: number;
};

/** What the server said of a batch, and on which call; null for a read. */
export type Heard = { call: Call | null; state: State; completed_items: number };

/** A batch that somebody has the server's word for. */
export type Known = {
  id: string;
  /** What a client believes it is. */
  latest: Wire<Batch>;
  items: Handed[];
  /** What the last look at the database found; null when it was not there then. */
  found: State | null;
  /** What was said since. */
  heard: Heard[];
  /** Sent since and not answered: each may have come true, or not. */
  open: Call[];
  was_retried: boolean;
  /** Since ever: an item may start twice with one number, because it was given back unburned. */
  was_broken_off: boolean;
};

export type Counts = { sent: number; acknowledged: number; refused: number; unanswered: number };

export type AckLog = ReturnType<typeof createAckLog>;

/** Keeps what the server has acknowledged, in memory and as lines for a person to read later. */
export function createAckLog(path: string) {
  const batches = new Map<string, Known>();
  /** New batches that nobody has an answer for, by tag. */
  const unborn = new Map<string, Call>();
  const counts: Counts = { sent: 0, acknowledged: 0, refused: 0, unanswered: 0 };

  function write(what: string, call: Call, rest: object = {}): void {
    appendFileSync(path, `${JSON.stringify({ at: new Date().toISOString(), what, ...call, ...rest })}\n`);
  }

  function hear(batch: Wire<Batch>, call: Call | null): Known {
    const known = batches.get(batch.id) ?? {
      id: batch.id,
      latest: batch,
      items: [],
      found: null,
      heard: [],
      open: [],
      was_retried: false,
      was_broken_off: false,
    };
    batches.set(batch.id, known);
    if (batch.event_seq >= known.latest.event_seq) known.latest = batch;
    known.heard.push({ call, state: stateOf(batch), completed_items: batch.completed_items });
    return known;
  }

  return {
    batches,
    unborn,
    counts,

    sent(wish: Wish, round: number): Call {
      counts.sent += 1;
      const call = { ...wish, no: counts.sent, tag: `c${counts.sent}`, round };
      write('sent', call);
      const known = batches.get(call.batch_id ?? '');
      known?.open.push(call);
      if (known === undefined) unborn.set(call.tag, call);
      else if (call.action.startsWith('retry')) known.was_retried = true;
      // Cancelled items that were at work can be retried with the number of the try that was cut off.
      else if (call.action === 'pause_now' || call.action === 'cancel') known.was_broken_off = true;
      return call;
    },

    acknowledged(call: Call, batch: Wire<Batch>, firstSeq: number | null): void {
      counts.acknowledged += 1;
      const { id, status, pause_reason, event_seq, total_items } = batch;
      write('acknowledged', call, { id, status, pause_reason, event_seq, total_items, first_seq: firstSeq });
      const known = hear(batch, call);
      close(known, call);
      unborn.delete(call.tag);
      if (firstSeq !== null) known.items.push({ first_seq: firstSeq, count: call.count, tag: call.tag });
    },

    /** Answered with a problem: nothing happened. */
    refused(call: Call, code: string): void {
      counts.refused += 1;
      write('refused', call, { code });
      close(batches.get(call.batch_id ?? ''), call);
      unborn.delete(call.tag);
    },

    /** A batch as it was read. */
    seen(batch: Wire<Batch>): void {
      hear(batch, null);
    },

    unanswered(call: Call): void {
      counts.unanswered += 1;
      write('unanswered', call);
    },
  };
}

/** What of a batch must hold, out of all that is said of it. */
export function stateOf(batch: State): State {
  const { status, pause_reason, round, priority, concurrency, total_items, event_seq } = batch;
  return { status, pause_reason, round, priority, concurrency, total_items, event_seq };
}

function close(known: Known | undefined, call: Call): void {
  if (known !== undefined) known.open = known.open.filter((other) => other.no !== call.no);
}
