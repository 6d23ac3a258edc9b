import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectProblem, NOBODY, openWorld, until, type World } from './world.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

const move = (id: string, name: string, json?: object) =>
  world.call('POST', `/api/batches/${id}/${name}`, json === undefined ? {} : { json });

describe('moves', () => {
  it('answer the batch as they leave it, and the same when asked twice', async () => {
    const { id } = await world.batch({ processor: 'gate', start: false, items: [{}, {}], concurrency: 1 });
    const seen: string[] = [];
    for (const name of ['start', 'start', 'pause', 'pause', 'resume', 'resume', 'cancel', 'cancel']) {
      const { status, json } = await move(id, name);
      seen.push(`${status} ${name} ${json.status === 'queued' ? 'running' : json.status}`);
    }
    expect(seen).toEqual([
      '200 start running',
      '200 start running',
      '200 pause paused',
      '200 pause paused',
      '200 resume running',
      '200 resume running',
      '200 cancel cancelled',
      '200 cancel cancelled',
    ]);
  });

  it('hold a batch for approval until it is approved or rejected', async () => {
    const wants = { requires_approval: true, start: false, items: [{}] };
    const [first, second] = [await world.batch(wants), await world.batch(wants)];
    expect((await move(first.id, 'start')).json.status).toBe('awaiting_approval');
    expect((await move(first.id, 'approve')).json.status).toMatch(/queued|running|completed/);
    await move(second.id, 'start');
    expect((await move(second.id, 'reject', { reason: 'too dear' })).json.status).toBe('cancelled');
    await world.done(first);
  });

  it('seal an open batch, which has no time left to tell until then, and then completes', async () => {
    const batch = await world.batch({ open: true, items: [{}] });
    const progress = async () => (await world.call('GET', `/api/batches/${batch.id}/progress`)).json;
    await until(async () => (await progress()).completed === 1);
    expect(await progress()).toMatchObject({ status: 'running', estimated_time_remaining_ms: null });
    await move(batch.id, 'seal');
    await world.done(batch);
    expect((await world.call('GET', `/api/batches/${batch.id}`)).json.status).toBe('completed');
  });

  it('set the priority', async () => {
    const { id } = await world.batch();
    expect((await move(id, 'priority', { priority: 9 })).json.priority).toBe(9);
    for (const json of [{ priority: 10 }, { priority: '5' }, {}, { priority: 5, now: true }]) {
      expectProblem(await move(id, 'priority', json), 422, 'invalid');
    }
  });

  it('pause at once only what may run twice, unless forced', async () => {
    const { id } = await world.batch({ processor: 'unsafe', start: false, items: [{}] });
    await world.call('POST', `/api/batches/${id}/start`);
    expectProblem(await move(id, 'pause', { mode: 'now' }), 409, 'not_idempotent');
  });

  it('retry failed items: all, named ones, or those of a cause', async () => {
    const items = [1, 2, 3, 5].map((n) => ({ input: { n } }));
    const batch = await world.batch({ processor: 'strict', max_attempts: 1, items });
    await world.done(batch);
    const { json: causes } = await world.call('GET', `/api/batches/${batch.id}/failures`);
    for (const [json, retried] of [
      [{}, 3],
      [undefined, 3],
      [{ items: [1, 3] }, 2],
      [{ cause: causes.data[0].cause }, 3],
    ] as const) {
      const answer = await move(batch.id, 'retry', json);
      expect(answer.json).toMatchObject({ retried, batch: { id: batch.id } });
      await world.done(batch);
    }
    const one = await world.call('POST', `/api/batches/${batch.id}/items/3/retry`);
    expect(one.json).toMatchObject({ retried: 1, batch: { id: batch.id } });
    await world.done(batch);
    expectProblem(await world.call('POST', `/api/batches/${batch.id}/items/2/retry`), 409, 'wrong_status');
    expectProblem(await world.call('POST', `/api/batches/${batch.id}/items/99/retry`), 404, 'not_found');
  });

  it('are refused in a wrong state, which is named with what may be done instead', async () => {
    const { id } = await world.batch();
    const problem = expectProblem(await move(id, 'resume'), 409, 'wrong_status');
    expect(problem).toMatchObject({
      current_status: 'draft',
      allowed_actions: expect.arrayContaining(['start', 'cancel']),
    });
  });

  it.each(['start', 'seal', 'pause', 'resume', 'cancel', 'approve', 'reject', 'retry'])(
    '%s takes no field it does not know',
    async (name) => {
      const { id } = await world.batch();
      const problem = expectProblem(await move(id, name, { force_it: true }), 422, 'invalid');
      expect(problem.errors).toMatchObject([{ pointer: '/force_it', code: 'unknown_field' }]);
    },
  );

  it('answer the same 404 for an id that is badly written, unknown, or of another space', async () => {
    const { id } = await world.batch();
    const answers = await Promise.all(
      [
        '/api/batches/x',
        `/api/batches/${NOBODY}`,
        '/api/batches/..%2f..%2fetc',
        `/api/batches/${NOBODY.toUpperCase()}`,
        `/api/spaces/other/batches/${id}`,
      ].flatMap((base) => [
        world.call('GET', base),
        world.call('POST', `${base}/start`),
        world.call('DELETE', base),
        world.call('GET', `${base}/items/1`),
      ]),
    );
    const bodies = answers.map((answer) => {
      const { instance: _, request_id: __, ...rest } = expectProblem(answer, 404, 'not_found');
      return JSON.stringify(rest);
    });
    expect(new Set(bodies).size).toBe(1);
  });
});
