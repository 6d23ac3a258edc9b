import { type Batch, type ErrorCode, errorCode, type ItemStatus, type SheafError } from '@sheaf/protocol';
import { expect, it } from 'vitest';
import type {
  Lease,
  LeaseAnswer,
  LeaseRefusal,
  Outcome,
  RecordAnswer,
  RecordRequest,
} from '../../../ports/leasing.ts';
import type { Act, BatchRef, NewItemRow, Store } from '../../../ports/store.ts';
import { type BatchFields, makeBatch, makeItems, makeOutcome } from '../../factories.ts';
import { createFakeClock, type FakeClock } from '../../fake-clock.ts';

export type NewBatchFields = BatchFields & { items?: number | readonly NewItemRow[] };
export type LeaseFields = Partial<Parameters<Store['lease']>[0]>;
export type Named = Pick<Batch, 'id' | 'space'>;

/** A fresh store, its clock, and the few things nearly every case does with them. */
export type Scene = {
  store: Store;
  clock: FakeClock;
  ref(batch: Named): BatchRef;
  act(batch: Named, by?: string): Act;
  get(batch: Named): Promise<Batch>;
  /** @default items 3 */
  draft(fields?: NewBatchFields): Promise<Batch>;
  started(fields?: NewBatchFields): Promise<Batch>;
  ask(batch: Named, fields?: LeaseFields): Promise<LeaseAnswer>;
  /** A lease that must be granted: as wide as it gets, up to a thousand items. */
  lease(batch: Named, fields?: LeaseFields): Promise<Lease>;
  /** A lease that must be refused. */
  refusal(batch: Named, fields?: LeaseFields): Promise<LeaseRefusal>;
  record(
    lease: Pick<Lease, 'token' | 'batch' | 'width'>,
    outcomes: Outcome[],
    fields?: Partial<RecordRequest>,
  ): Promise<RecordAnswer>;
  /** Records every item of the lease: those named fail for good, the others complete. */
  finish(lease: Lease, failed?: readonly number[]): Promise<RecordAnswer>;
  /** Leases and finishes whatever is ready. */
  work(batch: Named, failed?: readonly number[]): Promise<void>;
  /** The statuses of all items, by seq. */
  statuses(batch: Named): Promise<Record<number, ItemStatus>>;
  events(batch: Named): Promise<string[]>;
};

/** Declares a case of a contract. */
export type StoreTest = (name: string, body: (scene: Scene) => Promise<void>) => void;

/** Cases that each get a store of their own, which must be sound when they end. */
export function storeTest(open: () => Promise<Store>): StoreTest {
  return (name, body) => {
    it(name, async () => {
      const store = await open();
      try {
        await body(createScene(store));
        expect(await store.checkInvariants()).toEqual([]);
      } finally {
        await store.close();
      }
    });
  };
}

function createScene(store: Store): Scene {
  const clock = createFakeClock();
  let tokens = 0;
  const ref = (batch: Named) => ({ space: batch.space, batch_id: batch.id });
  const scene: Scene = {
    store,
    clock,
    ref,
    act: (batch, by = 'tester') => ({ ...ref(batch), now: clock.now(), by }),
    get: (batch) => store.get(ref(batch)),
    async draft({ items = 3, ...fields } = {}) {
      const rows = typeof items === 'number' ? makeItems(items) : items;
      return (await store.create(makeBatch(fields), rows, { now: clock.now() })).batch;
    },
    async started(fields) {
      return store.start(scene.act(await scene.draft(fields)));
    },
    ask: (batch, fields) =>
      store.lease({
        token: `token-${++tokens}`,
        batch_id: batch.id,
        worker: 'worker-1',
        boot: 'boot-1',
        width: 1_000,
        limit: 1_000,
        idle: true,
        now: clock.now(),
        ...fields,
      }),
    async lease(batch, fields) {
      const answer = await scene.ask(batch, fields);
      if ('lease' in answer) return answer.lease;
      throw new Error(`The lease was refused: ${answer.refused}.`);
    },
    async refusal(batch, fields) {
      const answer = await scene.ask(batch, fields);
      if ('refused' in answer) return answer;
      throw new Error(`A lease of ${answer.lease.items.length} items was granted.`);
    },
    async record({ token, batch, width }, outcomes, fields) {
      const request = { token, batch_id: batch.id, outcomes, more: 0, width, ...fields };
      const [answer] = await store.record([request], clock.now());
      if (answer === undefined) throw new Error('The record had no answer.');
      return answer;
    },
    finish: (lease, failed = []) =>
      scene.record(
        lease,
        lease.items.map((item) => makeOutcome(item, failed.includes(item.seq) ? { status: 'failed' } : {})),
      ),
    async work(batch, failed) {
      for (;;) {
        const answer = await scene.ask(batch);
        if ('refused' in answer) return;
        await scene.finish(answer.lease, failed);
      }
    },
    async statuses(batch) {
      const { data } = await store.items({ ...ref(batch), after: 0, limit: 200 });
      return Object.fromEntries(data.map(({ seq, status }) => [seq, status]));
    },
    async events(batch) {
      const events = await store.events({ ...ref(batch), since: 0, limit: 1_000 });
      return events.map((event) =>
        event.type === 'batch_status' ? `${event.type} ${event.status}` : event.type,
      );
    },
  };
  return scene;
}

/** Expects a call to be refused with this code, and answers the error. */
export async function refused(call: Promise<unknown>, code: ErrorCode): Promise<SheafError> {
  const error = await call.then(
    (value) => {
      throw new Error(`Expected ${code}, but the call answered ${JSON.stringify(value)}.`);
    },
    (reason: unknown) => reason,
  );
  // Any other error, the one above too, shows itself whole.
  if (errorCode(error) !== code) throw error;
  return error as SheafError; // its code was looked at
}
