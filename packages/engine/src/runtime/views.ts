import { type Batch, isFinal, type Progress, SheafError } from '@sheaf/protocol';
import type { Engine, Target } from '../api.ts';
import { waitForRate } from '../domain/rate-limit.ts';
import type { Clock } from '../ports/clock.ts';
import type { Events } from '../ports/events.ts';
import type { RunNews } from '../ports/runner.ts';
import type { Store } from '../ports/store.ts';
import type { Pulses } from './pulse.ts';
import type { Worker } from './worker.ts';

type Views = Pick<
  Engine,
  | 'get'
  | 'list'
  | 'find'
  | 'progress'
  | 'items'
  | 'item'
  | 'logs'
  | 'causes'
  | 'state'
  | 'events'
  | 'subscribe'
  | 'wait'
>;

/** Waiting never relies on news alone: the batch is looked at this often anyway. */
const LOOK_MS = 1_000;

/** Pages hold at most this many rows. */
const MAX_PAGE = 1_000;

/** Items at work that a look at the progress names. */
const MAX_RUNNING = 200;

/** What can be seen of batches: the Store's truth, and what this process knows of work under way. */
export function createViews(options: {
  store: Store;
  events: Events;
  clock: Clock;
  pulses: Pulses;
  worker: Worker | null;
  /** Whether other processes work on the same batches: what runs in them is read from the Store. */
  isShared: boolean;
}): Views {
  const { store, events, clock, pulses, worker } = options;
  const ref = ({ space = 'default', batch_id }: Target) => ({ space, batch_id });
  const page = (limit: number | undefined, usual: number) => Math.max(1, Math.min(limit ?? usual, MAX_PAGE));

  function withWaiting(batch: Batch): Batch {
    if (isFinal(batch.status)) return batch;
    const waitingFor = waitForRate(batch, clock.now()) ?? worker?.waitingFor(batch.id) ?? null;
    return { ...batch, waiting_for: waitingFor };
  }

  /** Steps and percents are known of this process's own items, and of others as far as they were heard. */
  async function running({ id, space, running_items: count }: Batch): Promise<Progress['running']> {
    const own = (worker?.running(id) ?? []).map(({ item, news }) => seen(item, news));
    if (!options.isShared || count <= own.length) return own;
    const known = new Set(own.map(({ seq }) => seq));
    const { data } = await store.items({
      space,
      batch_id: id,
      status: ['running'],
      after: 0,
      limit: MAX_RUNNING,
    });
    const others = data
      .filter(({ seq }) => !known.has(seq))
      .map((item) => seen(item, events.heardOf?.(item.id) ?? null));
    return [...own, ...others];
  }

  async function get(target: Target): Promise<Batch> {
    return withWaiting(await store.get(ref(target)));
  }

  return {
    get,

    async list({ space = 'default', by: _, ...query }) {
      const { data, total } = await store.list({ ...query, space });
      return { data: data.map(withWaiting), total };
    },

    // Nothing begins every id; it would find whatever is newest.
    find: async ({ space = 'default', text }) =>
      text === '' ? [] : (await store.find({ space, text })).map(withWaiting),

    async progress(target) {
      const batch = await store.get(ref(target));
      const finished = batch.total_items - batch.pending_items - batch.running_items;
      const isActive = batch.status === 'running' || batch.status === 'queued';
      const now = pulses.speed({
        id: batch.id,
        finished,
        total: batch.total_items,
        ran_ms: batch.ran_ms,
        rate_limit: batch.policies.rate_limit,
        isActive,
      });
      return {
        id: batch.id,
        name: batch.name,
        status: batch.status,
        total: batch.total_items,
        completed: batch.completed_items,
        failed: batch.failed_items,
        percent_complete: batch.percent_complete,
        ...now,
        running: await running(batch),
      };
    },

    items: ({ space = 'default', by: _, ...query }) =>
      store.items({ ...query, space, limit: page(query.limit, 100) }),
    item: ({ seq, ...target }) => store.item({ ...ref(target), seq }),
    logs: ({ seq, after = 0, limit, ...target }) =>
      store.logs({ ...ref(target), after, limit: page(limit, 200), ...(seq === undefined ? {} : { seq }) }),
    causes: (target) => store.causes(ref(target)),
    state: (target) => store.state(ref(target)),
    events: ({ since, limit, ...target }) =>
      store.events({ ...ref(target), since, limit: page(limit, 1_000) }),
    subscribe: ({ space = 'default' }, listener) => events.subscribe(space, listener),

    async wait({ timeout_ms, until = 'final', signal, ...target }) {
      const isOver = (batch: Batch) =>
        isFinal(batch.status) || (until === 'still' && batch.status === 'paused');
      const deadline = timeout_ms === undefined ? Number.POSITIVE_INFINITY : performance.now() + timeout_ms;
      const { space, batch_id } = ref(target);
      for (;;) {
        signal?.throwIfAborted();
        const news = nextNews(events, space, batch_id, signal);
        try {
          const batch = await get(target);
          if (isOver(batch)) return batch;
          const left = deadline - performance.now();
          if (left <= 0) {
            throw new SheafError(
              'wait_timeout',
              `${batch.name} is ${batch.status} after ${timeout_ms} ms; it goes on.`,
            );
          }
          await news.within(Math.min(left, LOOK_MS));
        } finally {
          news.stop();
        }
      }
    },
  };
}

/** Listens before the batch is read, so that news in between is not missed. */
function nextNews(events: Events, space: string, batchId: string, signal: AbortSignal | undefined) {
  const { promise, resolve } = Promise.withResolvers<void>();
  const unsubscribe = events.subscribe(space, (event) => {
    const tells = event.type === 'batch_status' || event.type === 'batch_deleted';
    if (tells && event.batch_id === batchId) resolve();
  });
  let timer: NodeJS.Timeout | undefined;
  const onAbort = () => resolve();
  signal?.addEventListener('abort', onAbort, { once: true });
  return {
    async within(ms: number): Promise<void> {
      timer = setTimeout(resolve, ms);
      await promise;
    },
    stop() {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      unsubscribe();
    },
  };
}

type Named = { seq: number; name: string | null; key: string | null };

function seen(item: Named, news: RunNews | null): Progress['running'][number] {
  const { step = null, percent = null } = news ?? {};
  return { seq: item.seq, name: item.name ?? item.key ?? `item-${item.seq}`, step, percent };
}
