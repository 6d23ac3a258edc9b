import {
  BATCH_MOVES,
  type Batch,
  type BatchAction,
  type BatchStatus,
  type ErrorCode,
  errorCode,
  type ItemStatus,
  isActive,
} from '@sheaf/protocol';
import type { Act, BatchRef, Store } from '../ports/store.ts';
import { type Checked, checkedHeart, type Heart } from './checked-heart.ts';
import { agree, disagree } from './disagreement.ts';
import {
  addItems,
  type BatchModel,
  cancel,
  countsOf,
  createBatchModel,
  judge,
  type ModelItem,
  type ModelWork,
  pause,
  queue,
  release,
  resume,
  settle,
  start,
  statusOf,
  takeBack,
  widthOf,
} from './range-model.ts';

type Control = Pick<
  Store,
  'append' | 'removeItem' | 'seal' | 'start' | 'approve' | 'pause' | 'resume' | 'cancel' | 'retry'
>;

/**
 * A Store that is compared with the reference model at every call: what it refuses, what it grants,
 * what it counts. It takes one call at a time, and every batch must be made through it.
 */
export type CheckedStore = Heart & {
  model(batchId: string): BatchModel;
  ids(): string[];
  create: Store['create'];
  /** Each of these answers whether the action was legal; where it was not, it was refused as it should be. */
  act: { [K in keyof Control]: (...args: Parameters<Control[K]>) => Promise<boolean> } & {
    setConcurrency: (act: Act & { concurrency: number }) => Promise<boolean>;
  };
  /** Compares every item and counter of every batch, and asks the Store for its own invariants. */
  compare(now: number): Promise<void>;
};

/**
 * @param store The Store of the moment: another one after a restart.
 * @param isDeath Whether an error means that the process died after the commit, before the answer.
 */
export function createCheckedStore(
  store: () => Store,
  isDeath: (error: unknown) => boolean = () => false,
): CheckedStore {
  const batches = new Map<string, BatchModel>();
  const checked: Checked = { store, batches };
  const told = new Map<string, Told>();
  const model = (batchId: string) => batches.get(batchId) ?? disagree(`${batchId} was never made`);

  /** Makes a call that must work, or be refused, as the model says. */
  const attempt = async (
    expected: 'go' | 'already' | ErrorCode,
    call: () => Promise<unknown>,
    effect: () => void,
  ): Promise<boolean> => {
    const isLegal = expected === 'go' || expected === 'already';
    try {
      await call();
    } catch (error) {
      if (isDeath(error)) {
        if (expected === 'go') effect();
        throw error;
      }
      if (isLegal || errorCode(error) !== expected) throw error;
      return false;
    }
    if (!isLegal) disagree(`${expected} was expected, but the call was answered`);
    if (expected === 'go') effect();
    return true;
  };
  const move = (
    act: BatchRef,
    action: BatchAction,
    call: () => Promise<unknown>,
    effect: (batch: BatchModel) => void,
  ) => {
    const batch = model(act.batch_id);
    const verdict = judge(batch, action);
    return attempt(verdict === 'refused' ? 'wrong_status' : verdict, call, () => effect(batch));
  };

  return {
    ...checkedHeart(checked),
    model,
    ids: () => [...batches.keys()],
    async create(batch, items, options) {
      const answer = await store().create(batch, items, options);
      const { concurrency, policies, open, requires_approval } = batch;
      batches.set(
        batch.id,
        createBatchModel({ items: items.length, concurrency, policies, open, requires_approval }),
      );
      return answer;
    },
    act: {
      append: (act, items) =>
        move(
          act,
          'append',
          () => store().append(act, items),
          (batch) => addItems(batch, items.length),
        ),
      removeItem: (act) => {
        const batch = model(act.batch_id);
        return attempt(
          removal(batch, act.seq),
          () => store().removeItem(act),
          () => {
            batch.items.delete(act.seq);
            settle(batch);
          },
        );
      },
      seal: (act) =>
        move(
          act,
          'seal',
          () => store().seal(act),
          (batch) => {
            if (!batch.open) return;
            batch.open = false;
            settle(batch);
          },
        ),
      start: (act) => move(act, 'start', () => store().start(act), start),
      approve: (act) => {
        const batch = model(act.batch_id);
        // Approving a canary is resuming it.
        const isCanary = batch.pause_reason === 'canary';
        return isCanary
          ? attempt(
              'go',
              () => store().approve(act),
              () => resume(batch),
            )
          : move(act, 'approve', () => store().approve(act), queue);
      },
      pause: (act) => {
        const batch = model(act.batch_id);
        const verdict = judge(batch, 'pause');
        const isLegal = verdict !== 'refused';
        return attempt(
          isLegal ? 'go' : 'wrong_status',
          () => store().pause(act),
          () => {
            pause(batch, act.reason);
            if (act.mode === 'now') for (const token of [...batch.leases.keys()]) release(batch, token);
          },
        );
      },
      resume: (act) => move(act, 'resume', () => store().resume(act), resume),
      cancel: (act) => move(act, 'cancel', () => store().cancel(act), cancel),
      retry: (act) => {
        const batch = model(act.batch_id);
        const { refused, due, taken } = choose(batch, act);
        return attempt(
          refused ?? 'go',
          async () => agree('retried', (await store().retry(act)).retried, taken.length),
          () => {
            for (const work of due) work.ready_at = 0;
            if (taken.length === 0) return;
            takeBack(batch, taken);
            settle(batch);
          },
        );
      },
      setConcurrency: ({ concurrency, ...act }) =>
        attempt(
          'go',
          () => store().update({ ...act, fields: { concurrency } }),
          () => {
            model(act.batch_id).concurrency = concurrency;
          },
        ),
    },
    async compare(now) {
      for (const [batchId, batch] of batches) {
        const ref = { space: 'default', batch_id: batchId };
        const said = await store().get(ref);
        compareEnvelope(said, batch);
        await compareItems(store(), ref, batch, now);
        const before = told.get(batchId) ?? { seq: 0, status: 'draft' };
        told.set(batchId, await compareEvents(store(), ref, said, before));
      }
      agree('invariants', await store().checkInvariants(), []);
    },
  };
}

function removal(batch: BatchModel, seq: number): 'go' | ErrorCode {
  if (judge(batch, 'remove') === 'refused') return 'wrong_status';
  const item = batch.items.get(seq);
  if (item === undefined) return 'not_found';
  return item.work?.token === null ? 'go' : 'wrong_status';
}

/** What a retry takes, and what only falls due; or why it is refused. */
type Choice = { refused: ErrorCode | null; due: ModelWork[]; taken: ModelItem[] };

function choose(batch: BatchModel, act: Parameters<Store['retry']>[0]): Choice {
  const refuse = (refused: ErrorCode): Choice => ({ refused, due: [], taken: [] });
  if (judge(batch, 'retry') === 'refused') return refuse('wrong_status');
  if (act.items === undefined) {
    const wanted: readonly ItemStatus[] =
      act.status ?? (batch.status === 'cancelled' ? ['failed', 'cancelled'] : ['failed']);
    const taken = [...batch.items.values()].filter((item) => wanted.includes(statusOf(item)));
    return { refused: null, due: [], taken };
  }
  const choice: Choice = { refused: null, due: [], taken: [] };
  for (const seq of new Set(act.items)) {
    const item = batch.items.get(seq);
    if (item === undefined) return refuse('not_found');
    const { outcome, work } = item;
    const isWaiting = work !== null && work.token === null && work.ready_at > 0;
    if (isWaiting) choice.due.push(work);
    else if (outcome === 'completed' || work !== null) choice.refused = 'wrong_status';
    else choice.taken.push(item);
  }
  return choice.refused === null ? choice : refuse(choice.refused);
}

function compareEnvelope(said: Batch, batch: BatchModel): void {
  const { total, completed, failed, cancelled } = countsOf(batch);
  const running = widthOf(batch);
  agree('status', [said.status, said.pause_reason], [batch.status, batch.pause_reason]);
  agree(
    'round, open, concurrency',
    [said.round, said.open, said.concurrency],
    [batch.round, batch.open, batch.concurrency],
  );
  const { total_items, completed_items, failed_items, cancelled_items, running_items, pending_items } = said;
  agree(
    'counters',
    { total_items, completed_items, failed_items, cancelled_items, running_items, pending_items },
    {
      total_items: total,
      completed_items: completed,
      failed_items: failed,
      cancelled_items: cancelled,
      running_items: running,
      pending_items: total - completed - failed - cancelled - running,
    },
  );
  const isWaiting = [...batch.items.values()].some(({ work }) => work !== null);
  if (isActive(batch.status) && !isWaiting && !batch.open) disagree('an active batch has nothing left to do');
}

async function compareItems(store: Store, ref: BatchRef, batch: BatchModel, now: number): Promise<void> {
  const { data } = await store.items({ ...ref, after: 0, limit: 1_000 });
  agree(
    'seqs',
    data.map(({ seq }) => seq),
    [...batch.items.keys()],
  );
  for (const said of data) {
    const item = batch.items.get(said.seq);
    if (item === undefined) continue;
    const expected = statusOf(item);
    // Of the items of a lease those that have no slot yet read as pending.
    const isUnstarted = expected === 'running' && said.status === 'pending';
    if (!isUnstarted) agree(`status of item ${said.seq}`, said.status, expected);
    agree(`attempts of item ${said.seq}`, said.attempt, item.attempt);
    agree(`result of item ${said.seq}`, said.result, item.result === null ? null : JSON.parse(item.result));
    const { work } = item;
    if (work !== null && work.token === null && work.ready_at > now) {
      agree(`retry_at of item ${said.seq}`, said.retry_at, work.ready_at);
    }
  }
}

/** How far the events of a batch were read, and where they say it is. */
type Told = { seq: number; status: BatchStatus };

/** The stored events have no gap, tell every move, each a legal one, and end where the batch is. */
async function compareEvents(store: Store, ref: BatchRef, said: Batch, before: Told): Promise<Told> {
  let { seq, status } = before;
  for (const event of await store.events({ ...ref, since: seq, limit: 10_000 })) {
    if (event.seq !== seq + 1) disagree(`event ${event.seq} follows ${seq}`);
    seq = event.seq;
    if (event.type !== 'batch_status') continue;
    const next: readonly BatchStatus[] = BATCH_MOVES[status];
    if (!next.includes(event.status)) disagree(`the events move from ${status} to ${event.status}`);
    status = event.status;
  }
  agree('status and seq by the events', [said.status, said.event_seq], [status, seq]);
  return { seq, status };
}
