import { type Batch, type Json, makeId, retrySchema, SheafError, updateBatchSchema } from '@sheaf/protocol';
import type { Engine, Target } from '../api.ts';
import { check, invalid } from '../domain/check.ts';
import type { Registry } from '../domain/registry.ts';
import type { Chance, Clock } from '../ports/clock.ts';
import type { Processor } from '../ports/processor.ts';
import type { Act, Store } from '../ports/store.ts';
import type { Intake } from './intake.ts';
import type { Worker } from './worker.ts';

type Control = Pick<
  Engine,
  | 'start'
  | 'approve'
  | 'reject'
  | 'pause'
  | 'resume'
  | 'cancel'
  | 'retry'
  | 'update'
  | 'seal'
  | 'removeItem'
  | 'merge'
  | 'delete'
  | 'recover'
  | 'cleanup'
>;

const DAY_MS = 86_400_000;

/** Batches that one call of `recover` resumes; more wait for the next. */
const RECOVER_LIMIT = 1_000;

/**
 * Moves of batches. The Store decides whether a move is legal and makes it true; what follows here
 * only brings the news to the turns of this process sooner than they would find out.
 */
export function createControl(options: {
  store: Store;
  clock: Clock;
  chance: Chance;
  intake: Intake;
  processors: Registry<Processor>;
  /** Null in an engine that does not work. */
  worker: Worker | null;
  /** Sees to it that a batch which can be leased is offered. */
  offer: (batch: Batch) => Promise<void>;
}): Control {
  const { store, clock, chance, intake, worker } = options;

  const act = ({ space = 'default', by = 'system', batch_id }: Target): Act => ({
    space,
    by,
    batch_id,
    now: clock.now(),
  });

  async function offered(batch: Batch): Promise<Batch> {
    await options.offer(batch);
    return batch;
  }

  async function cancel(target: Target): Promise<Batch> {
    const batch = await store.cancel(act(target));
    worker?.abort(batch.id);
    return batch;
  }

  async function resume(target: Target): Promise<Batch> {
    const batch = await offered(await store.resume(act(target)));
    // A turn whose items still finish goes on with its slots.
    await worker?.refresh();
    return batch;
  }

  return {
    start: async (target) => offered(await store.start(act(target))),
    approve: async (target) => offered(await store.approve(act(target))),
    reject: (target) => store.reject(act(target)),

    async pause({ mode = 'drain', force = false, ...target }) {
      if (mode === 'now') {
        const { processor } = await store.get(act(target));
        const isIdempotent = options.processors.find(processor)?.idempotent ?? false;
        if (!isIdempotent && !force) {
          throw new SheafError(
            'not_idempotent',
            `Items of ${processor} must not run twice: pause without "now" lets them finish, or force it.`,
          );
        }
        // What has ended is recorded first: giving it back would run it again.
        await worker?.hold(target.batch_id);
      }
      const batch = await store.pause({ ...act(target), reason: 'user', mode });
      if (mode === 'now') worker?.abort(batch.id);
      else void worker?.hold(batch.id);
      return batch;
    },

    resume,
    cancel,

    async retry({ items, cause, status, config, ...target }) {
      const wish = check(retrySchema, withoutUndefined({ items, cause, status, config }));
      const batch = await store.get(act(target));
      const changed =
        wish.config === undefined
          ? undefined
          : intake.changedConfig(batch, wish.config as Record<string, Json>);
      const { config: _, ...which } = wish;
      const answer = await store.retry(withoutUndefined({ ...act(target), ...which, config: changed }));
      await offered(answer.batch);
      return answer;
    },

    async update({ fields, ...target }) {
      const checked = check(updateBatchSchema, fields);
      if (checked.config !== undefined) {
        const batch = await store.get(act(target));
        checked.config = intake.changedConfig({ ...batch, config: {} }, checked.config);
      }
      const batch = await store.update({ ...act(target), fields: checked });
      if (checked.concurrency !== undefined) await worker?.refresh();
      return offered(batch);
    },

    seal: (target) => store.seal(act(target)),
    removeItem: ({ seq, ...target }) => store.removeItem({ ...act(target), seq }),

    merge({ space = 'default', by = 'system', batch_ids, name }) {
      const now = clock.now();
      const id = makeId('bat', now, chance.bytes(10));
      return store.merge({ space, by, batch_ids, id, name: name ?? null, now });
    },

    async delete({ force = false, ...target }) {
      if (force) {
        const batch = await store.get(act(target));
        if (batch.allowed_actions.includes('cancel') && batch.status !== 'draft') await cancel(target);
      }
      await store.delete(act(target));
    },

    async recover({ space = 'default', by = 'system' } = {}) {
      const { data } = await store.list({ space, status: ['paused'], limit: RECOVER_LIMIT, offset: 0 });
      const held = data.filter((batch) => batch.pause_reason === 'interrupted');
      const results = await Promise.allSettled(
        held.map((batch) => resume({ space, by, batch_id: batch.id })),
      );
      const recovered = results.filter((result) => result.status === 'fulfilled').length;
      return { recovered_count: recovered, failed_count: held.length - recovered, timestamp: clock.now() };
    },

    async cleanup({ space = 'default', days_old }) {
      // A moment in the future would take what has only just ended.
      if (!Number.isSafeInteger(days_old) || days_old < 0) {
        const message = 'Days are a whole number from 0.';
        throw invalid([{ pointer: '/days_old', code: 'invalid', message }]);
      }
      const now = clock.now();
      const cleaned = await store.expire({ space, before: now - days_old * DAY_MS, now });
      return { cleaned_count: cleaned, days_old };
    },
  };
}

/** Optional fields that were not given must be absent, not undefined. */
function withoutUndefined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  // Absent and undefined are the same to whoever reads, but not to the type checker.
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined)) as never;
}
