import {
  allowedActions,
  BATCH_ACTIONS,
  BATCH_STATUSES,
  type Batch,
  type BatchAction,
  type BatchStatus,
} from '@sheaf/protocol';
import { expect } from 'vitest';
import { makeBatch, makeItems } from '../../factories.ts';
import { refused, type Scene, type StoreTest } from './scene.ts';

/**
 * How each action is asked for, what the batch reads afterwards (`same`: its status stays; null: it
 * is gone), and whether asking is an answer of its own (a new batch) rather than the batch itself.
 */
const ASK: Record<
  BatchAction,
  { ask: (scene: Scene, batch: Batch) => Promise<unknown>; becomes: BatchStatus | 'same' | null }
> = {
  start: { ask: ({ store, act }, batch) => store.start(act(batch)), becomes: 'queued' },
  approve: { ask: ({ store, act }, batch) => store.approve(act(batch)), becomes: 'queued' },
  pause: {
    ask: ({ store, act }, batch) => store.pause({ ...act(batch), reason: 'user', mode: 'drain' }),
    becomes: 'paused',
  },
  resume: { ask: ({ store, act }, batch) => store.resume(act(batch)), becomes: 'queued' },
  cancel: { ask: ({ store, act }, batch) => store.cancel(act(batch)), becomes: 'cancelled' },
  retry: { ask: ({ store, act }, batch) => store.retry(act(batch)), becomes: 'same' },
  append: { ask: ({ store, act }, batch) => store.append(act(batch), makeItems(1)), becomes: 'same' },
  remove: { ask: ({ store, act }, batch) => store.removeItem({ ...act(batch), seq: 2 }), becomes: 'same' },
  seal: { ask: ({ store, act }, batch) => store.seal(act(batch)), becomes: 'same' },
  prioritize: {
    ask: ({ store, act }, batch) => store.update({ ...act(batch), fields: { priority: 9 } }),
    becomes: 'same',
  },
  merge: {
    ask: ({ store, clock }, batch) =>
      store.merge({
        space: batch.space,
        batch_ids: [batch.id],
        id: makeBatch().id,
        name: null,
        now: clock.now(),
        by: 'tester',
      }),
    becomes: 'same',
  },
  delete: { ask: ({ store, act }, batch) => store.delete(act(batch)), becomes: null },
};

/** Brings a batch of two items into a status; the second one waits as long as any does. */
const BRING: Record<BatchStatus, (scene: Scene) => Promise<Batch>> = {
  draft: ({ draft }) => draft({ items: 2 }),
  awaiting_approval: ({ started }) => started({ items: 2, requires_approval: true }),
  queued: ({ started }) => started({ items: 2 }),
  running: async ({ started, lease, get }) => {
    const batch = await started({ items: 2 });
    await lease(batch, { limit: 1 });
    return get(batch);
  },
  paused: async ({ store, started, act }) =>
    store.pause({ ...act(await started({ items: 2 })), reason: 'user', mode: 'drain' }),
  completed: (scene) => worked(scene, []),
  partially_completed: (scene) => worked(scene, [2]),
  failed: (scene) => worked(scene, [1, 2]),
  cancelled: async ({ store, started, act }) => store.cancel(act(await started({ items: 2 }))),
};

async function worked({ started, work, get }: Scene, failed: number[]): Promise<Batch> {
  const batch = await started({ items: 2 });
  await work(batch, failed);
  return get(batch);
}

/** Where an action leads that does not lead everywhere to the same status. */
const BUT: Partial<Record<`${BatchAction} ${BatchStatus}`, BatchStatus>> = {
  'retry partially_completed': 'queued',
  'retry failed': 'queued',
  'retry cancelled': 'queued',
  'append completed': 'queued',
  'append partially_completed': 'queued',
  'append failed': 'queued',
  'merge draft': 'cancelled',
  'merge paused': 'cancelled',
};

/** Every action in every status, as the table of `BATCH_ACTIONS` says. */
export function actionCases(test: StoreTest): void {
  for (const [name, { from, already }] of Object.entries(BATCH_ACTIONS)) {
    const action = name as BatchAction; // the keys of the table are its actions
    for (const status of BATCH_STATUSES) {
      if ((from as readonly BatchStatus[]).includes(status)) {
        test(`${action} works on ${status}`, (scene) => works(scene, action, status));
      } else if ((already as readonly BatchStatus[]).includes(status)) {
        test(`${action} changes nothing on ${status}`, (scene) => changesNothing(scene, action, status));
      } else {
        test(`${action} is refused on ${status}`, (scene) => isRefused(scene, action, status));
      }
    }
  }

  test('an action on a batch that does not exist is not_found', async (scene) => {
    const nobody = { ...(await scene.draft()), id: makeBatch().id };
    for (const { ask } of Object.values(ASK)) await refused(ask(scene, nobody), 'not_found');
  });

  test('of the same moves at once, each is answered and one counts', async (scene) => {
    const { store, act, started, events } = scene;
    const batch = await started();
    const times = async (count: number, ask: () => Promise<Batch>, status: BatchStatus) => {
      const answers = await Promise.all(Array.from({ length: count }, ask));
      for (const answer of answers) expect(answer.status).toBe(status);
      return answers;
    };
    await times(10, () => store.pause({ ...act(batch), reason: 'user', mode: 'drain' }), 'paused');
    await times(10, () => store.resume(act(batch)), 'queued');
    await times(10, () => store.cancel(act(batch)), 'cancelled');
    expect(await events(batch)).toEqual([
      'batch_created',
      'batch_status queued',
      'batch_status paused',
      'batch_status queued',
      'batch_status cancelled',
    ]);
  });
}

async function works(scene: Scene, action: BatchAction, status: BatchStatus): Promise<void> {
  const before = await BRING[status](scene);
  expect(before.status).toBe(status);
  expect(before.allowed_actions).toEqual(allowedActions(status));
  scene.clock.advance(1_000);
  await ASK[action].ask(scene, before);
  const { becomes } = ASK[action];
  if (becomes === null) {
    await refused(scene.get(before), 'not_found');
    return;
  }
  const after = await scene.get(before);
  expect(after.status).toBe(BUT[`${action} ${status}`] ?? (becomes === 'same' ? status : becomes));
  expect(after.allowed_actions).toEqual(allowedActions(after.status));
}

async function changesNothing(scene: Scene, action: BatchAction, status: BatchStatus): Promise<void> {
  const before = await BRING[status](scene);
  scene.clock.advance(1_000);
  await ASK[action].ask(scene, before);
  expect(await scene.get(before)).toEqual(before);
}

async function isRefused(scene: Scene, action: BatchAction, status: BatchStatus): Promise<void> {
  const before = await BRING[status](scene);
  scene.clock.advance(1_000);
  const error = await refused(ASK[action].ask(scene, before), 'wrong_status');
  expect(error.details).toMatchObject({
    current_status: status,
    allowed_actions: allowedActions(status),
  });
  expect(await scene.get(before)).toEqual(before);
  expect((await scene.store.list({ space: before.space, limit: 10, offset: 0 })).total).toBe(1);
}
