import { type Batch, errorCode, type SheafEvent, type StoredEvent } from '@sheaf/protocol';
import type { Clock } from '../../ports/clock.ts';
import type { Store } from '../../ports/store.ts';
import type { BatchNews } from './message.ts';
import {
  endedFrame,
  hasDue,
  noteEvent,
  noteNews,
  noteReached,
  progressFrame,
  type Watched,
  watch,
} from './watched.ts';

/** What is read of the Store. */
export type NewsSource = Pick<Store, 'events' | 'get' | 'list' | 'items'>;

/** Tells the listeners of this process what others did, as the Store has it. */
export type CatchUp = {
  /** A stored event of this process: told at once when nothing is missing before it. */
  own(space: string, event: StoredEvent): void;
  /** A batch is known to have so many events: what was not told of them is read. */
  reached(space: string, batchId: string, seq: number): void;
  /** Another process has news of a batch. */
  hear(space: string, news: BatchNews): void;
  /** Somebody began to listen to the space: from now on nothing may be missed there. */
  begin(space: string): void;
  /** Something was missed: looks for everything that happened in the space since the last look. */
  lookAll(space: string): void;
  /** Nobody listens to the space any more. */
  forget(space: string): void;
  close(): Promise<void>;
};

const PAGE = 500;
const READERS = 4;
const RETRY_MS = 1_000;
const MAX_WATCHED = 10_000;

/** Of a batch not heard of before, no more than its last events are told. */
const LAST_EVENTS = 100;

/** What happened at a time may be committed a little later. */
const MARGIN_MS = 2_000;
const LIST_PAGE = 100;
const MAX_PAGES = 10;

/** No more batches than this are asked for one by one when something was missed. */
const MAX_ASKED = 500;

/** Items have inputs and results, which may be large. */
const MAX_ITEMS = 100;

export function createCatchUp(options: {
  store: NewsSource;
  clock: Clock;
  tell: (space: string, event: SheafEvent) => void;
}): CatchUp {
  const { store, clock, tell } = options;
  const spaces = new Map<string, Space>();
  const due = new Set<Watched>();
  const toLook = new Set<Space>();
  const running = new Set<Promise<void>>();
  let pausedUntil: NodeJS.Timeout | null = null;
  let isClosed = false;

  return {
    own(space, event) {
      const watched = find(space, event.batch_id);
      if (watched === null) return;
      const next = watched.last === null ? 1 : watched.last + 1;
      if (event.seq < next) return;
      if (event.type === 'batch_deleted') {
        // The last there is, and it cannot be read any more.
        drop(watched);
        tell(space, event);
        return;
      }
      if (event.seq > next || watched.isBusy || watched.due.events) {
        // It is in the Store already, with what others did before it.
        noteEvent(watched, event.seq);
        want(watched);
        return;
      }
      watched.last = event.seq;
      tell(space, event);
    },

    reached(space, batchId, seq) {
      const watched = find(space, batchId);
      if (watched === null) return;
      noteReached(watched, seq);
      if (hasDue(watched)) want(watched);
    },

    hear(space, news) {
      const watched = find(space, news.batch_id);
      if (watched === null) return;
      noteNews(watched, news);
      want(watched);
    },

    begin(space) {
      if (spaces.has(space)) return;
      spaces.set(space, { name: space, batches: new Map(), seen_at: clock.now() });
    },

    lookAll,

    forget(space) {
      const its = spaces.get(space);
      if (its === undefined) return;
      spaces.delete(space);
      toLook.delete(its);
      for (const watched of its.batches.values()) due.delete(watched);
    },

    async close() {
      isClosed = true;
      if (pausedUntil !== null) clearTimeout(pausedUntil);
      await Promise.all(running);
    },
  };

  function find(name: string, batchId: string): Watched | null {
    const space = spaces.get(name);
    if (space === undefined) return null;
    const known = space.batches.get(batchId);
    if (known !== undefined) return known;
    const made = watch(name, batchId, space.seen_at);
    space.batches.set(batchId, made);
    if (space.batches.size > MAX_WATCHED) {
      // The one unheard of for longest makes room.
      const [oldest] = space.batches.values();
      if (oldest !== undefined && !oldest.isBusy) space.batches.delete(oldest.batch_id);
    }
    return made;
  }

  function want(watched: Watched): void {
    due.add(watched);
    pump();
  }

  function lookAll(name: string): void {
    const space = spaces.get(name);
    if (space === undefined) return;
    toLook.add(space);
    pump();
  }

  function pump(): void {
    while (!isClosed && pausedUntil === null && running.size < READERS) {
      const work = nextWork();
      if (work === null) return;
      const run = work().catch(() => {
        // The Store does not answer; everything stays due.
        pausedUntil ??= setTimeout(() => {
          pausedUntil = null;
          pump();
        }, RETRY_MS).unref();
      });
      const tracked = run.finally(() => {
        running.delete(tracked);
        pump();
      });
      running.add(tracked);
    }
  }

  function nextWork(): (() => Promise<void>) | null {
    for (const space of toLook) {
      toLook.delete(space);
      return () => look(space);
    }
    for (const watched of due) {
      if (watched.isBusy) continue;
      due.delete(watched);
      if (hasDue(watched)) return () => refresh(watched);
    }
    return null;
  }

  /** Finds what changed since the last look, the newest first. */
  async function look(space: Space): Promise<void> {
    const since = space.seen_at;
    const now = clock.now();
    try {
      for (let page = 0; page < MAX_PAGES; page++) {
        const { data } = await store.list({
          space: space.name,
          sort_by: 'updated_at',
          sort_order: 'DESC',
          limit: LIST_PAGE,
          offset: page * LIST_PAGE,
        });
        const changed = data.filter((batch) => batch.updated_at >= since);
        for (const batch of changed) meet(batch);
        if (changed.length < LIST_PAGE) break;
      }
    } catch (error) {
      toLook.add(space);
      throw error;
    }
    space.seen_at = Math.max(since, now - MARGIN_MS);
    // Those that are no longer in any list, too: they may be deleted.
    for (const watched of [...space.batches.values()].slice(-MAX_ASKED)) {
      if (watched.last === null) continue;
      watched.due.events = true;
      want(watched);
    }
  }

  function meet({ id, space, event_seq }: Batch): void {
    const watched = find(space, id);
    if (watched === null) return;
    // What of it is news its events tell.
    noteEvent(watched, event_seq + 1);
    watched.due.progress = true;
    want(watched);
  }

  async function refresh(watched: Watched): Promise<void> {
    const { events, progress, ended } = watched.due;
    watched.due = { events: false, progress: false, ended: new Set() };
    watched.isBusy = true;
    const ref = { space: watched.space, batch_id: watched.batch_id };
    try {
      if (events) await tellEvents(watched);
      if (progress) {
        const batch = await store.get(ref);
        tell(watched.space, progressFrame(watched, batch));
        noteReached(watched, batch.event_seq);
      }
      if (ended.size > 0) await tellEnded(watched, ended);
    } catch (error) {
      if (errorCode(error) === 'not_found') {
        tellDeleted(watched);
        return;
      }
      // Told twice is no harm but for events, and those are counted.
      watched.due = {
        events: watched.due.events || events,
        progress: watched.due.progress || progress,
        ended: watched.due.ended.union(ended),
      };
      throw error;
    } finally {
      watched.isBusy = false;
      if (hasDue(watched)) due.add(watched);
    }
  }

  async function tellEvents(watched: Watched): Promise<void> {
    const { space, batch_id } = watched;
    watched.last ??= await findStart(watched);
    let count = PAGE;
    while (count === PAGE && !isClosed) {
      const events = await store.events({ space, batch_id, since: watched.last ?? 0, limit: PAGE });
      count = events.length;
      for (const event of events) {
        watched.last = event.seq;
        tell(space, event);
      }
    }
  }

  /** Of a batch not heard of before: what happened since somebody listens, and in any case what is news. */
  async function findStart({ space, batch_id, first, seen_at }: Watched): Promise<number> {
    const since = Math.max(0, first - LAST_EVENTS);
    const events = await store.events({ space, batch_id, since, limit: LAST_EVENTS });
    const start = events.find((event) => event.at >= seen_at || event.seq >= first);
    return (start?.seq ?? first) - 1;
  }

  async function tellEnded({ space, batch_id }: Watched, ended: ReadonlySet<number>): Promise<void> {
    const after = Math.min(...ended) - 1;
    const { data } = await store.items({ space, batch_id, after, limit: MAX_ITEMS });
    const items = data.filter(
      ({ seq, status }) => ended.has(seq) && status !== 'pending' && status !== 'running',
    );
    if (items.length > 0) tell(space, endedFrame(batch_id, items));
  }

  /** Its last event cannot be read any more, nor who did it. */
  function tellDeleted(watched: Watched): void {
    drop(watched);
    watched.due = { events: false, progress: false, ended: new Set() };
    const { space, batch_id, last } = watched;
    tell(space, { type: 'batch_deleted', by: 'unknown', seq: (last ?? 0) + 1, at: clock.now(), batch_id });
  }

  function drop(watched: Watched): void {
    due.delete(watched);
    spaces.get(watched.space)?.batches.delete(watched.batch_id);
  }
}

/** A space somebody listens to. */
type Space = {
  name: string;
  batches: Map<string, Watched>;
  /** What happened before is known to have been told. */
  seen_at: number;
};
