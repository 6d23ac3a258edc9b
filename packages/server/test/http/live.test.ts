import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LiveClient, openLive } from './live-client.ts';
import { NOBODY, openWorld, type World } from './world.ts';

let world: World;
let url: string;
beforeAll(async () => {
  world = await openWorld();
  ({ url } = await world.listen());
});
afterAll(() => world.close());

/** A connection that is closed after its test, whatever came of it. */
async function live(use: (client: LiveClient) => Promise<void>): Promise<void> {
  const client = await openLive(url);
  try {
    await use(client);
  } finally {
    client.close();
    await client.closed;
  }
}

const stored = (client: LiveClient, id: string) =>
  client.frames.filter((frame) => frame.batch_id === id && 'at' in frame);

describe('live news', () => {
  it('tell of all batches on one topic, from their making to their deletion', () =>
    live(async (client) => {
      client.subscribe('batches');
      expect(await client.wait('subscribed')).toEqual({ type: 'subscribed', topic: 'batches', seq: null });
      const batch = await world.batch({ name: 'live', items: [{}, {}] });
      await client.wait(
        'batch_status',
        (frame) => frame.batch_id === batch.id && frame.status === 'completed',
      );
      await world.call('DELETE', `/api/batches/${batch.id}`);
      await client.wait('batch_deleted', (frame) => frame.batch_id === batch.id);
      const events = stored(client, batch.id);
      expect(events[0]).toMatchObject({
        type: 'batch_created',
        seq: 1,
        name: 'live',
        at: expect.stringMatching(/Z$/),
      });
      expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
      const progress = client.of('batch_progress').filter((frame) => frame.batch_id === batch.id);
      expect(progress.at(-1)).toMatchObject({
        completed: 2,
        total: 2,
        failed: 0,
        percent_complete: 100,
        status: 'completed',
      });
    }));

  it('tell of one batch only, and say who moved it', () =>
    live(async (client) => {
      const [mine, other] = [await world.batch({ processor: 'gate', items: [{}] }), await world.batch()];
      client.subscribe(`batch:${mine.id}`);
      const { seq } = await client.wait('subscribed');
      expect(seq).toBeGreaterThan(0);
      await world.call('PATCH', `/api/batches/${other.id}`, { json: { name: 'x' } });
      await world.call('POST', `/api/batches/${mine.id}/pause`);
      const paused = await client.wait('batch_status', (frame) => frame.status === 'paused');
      expect(paused).toMatchObject({ batch_id: mine.id, pause_reason: 'user', by: 'user' });
      await world.call('POST', `/api/batches/${mine.id}/cancel`);
      await client.wait('batch_status', (frame) => frame.status === 'cancelled');
      expect(client.frames.every((frame) => frame.batch_id === undefined || frame.batch_id === mine.id)).toBe(
        true,
      );
    }));

  it('tell of each item that ends, and of its steps', () =>
    live(async (client) => {
      const batch = await world.batch({
        processor: 'writer',
        start: false,
        items: [{ input: { text: 'a' } }, { input: { text: 'b' } }],
      });
      client.subscribe(`items:${batch.id}`);
      await client.wait('subscribed');
      await world.call('POST', `/api/batches/${batch.id}/start`);
      const last = await client.wait('batch_job_complete', (frame) => frame.job_id === `${batch.id}/2`);
      expect(last).toEqual({
        type: 'batch_job_complete',
        batch_id: batch.id,
        job_id: `${batch.id}/2`,
        success: true,
        result: { text: 'b' },
      });
      expect(client.of('batch_status')).toEqual([]);
    }));

  it('name the variant beside the result', () =>
    live(async (client) => {
      const batch = await world.batch({
        processor: 'strict',
        max_attempts: 1,
        start: false,
        items: [{ input: { n: 2 } }, { input: { n: 3 } }],
      });
      client.subscribe(`items:${batch.id}`);
      await client.wait('subscribed');
      await world.call('POST', `/api/batches/${batch.id}/start`);
      expect(await client.wait('batch_job_complete', (frame) => frame.success)).toMatchObject({
        result_variant_id: 'variant-2',
      });
      expect(await client.wait('batch_job_complete', (frame) => !frame.success)).toMatchObject({
        job_id: `${batch.id}/2`,
      });
    }));

  it('put many items that end together into one frame', () =>
    live(async (client) => {
      const batch = await world.batch({ start: false, items: Array.from({ length: 900 }, () => ({})) });
      client.subscribe(`items:${batch.id}`);
      client.subscribe(`batch:${batch.id}`);
      await client.wait('subscribed', (frame) => frame.topic.startsWith('batch:'));
      await world.call('POST', `/api/batches/${batch.id}/start`);
      await client.wait('batch_status', (frame) => frame.status === 'completed');
      await client.wait('batch_progress', (frame) => frame.completed === 900);
      const together = client.of('batch_jobs_complete').flatMap(({ jobs }) => jobs);
      const alone = client.of('batch_job_complete');
      const ids = [...together, ...alone].map(({ job_id }) => job_id);
      expect(new Set(ids).size).toBe(900);
      expect(alone.length).toBeLessThanOrEqual(300);
    }));

  it('go on where a connection ended, with nothing twice and nothing left out', () =>
    live(async (client) => {
      const batch = await world.batch();
      const topic = `batch:${batch.id}`;
      for (let at = 0; at < 30; at++)
        await world.call('PATCH', `/api/batches/${batch.id}`, { json: { name: `n${at}` } });
      // Changes go on while what was missed is told.
      const changes = Promise.all(
        Array.from({ length: 30 }, (_, at) =>
          world.call('PATCH', `/api/batches/${batch.id}`, { json: { name: `m${at}` } }),
        ),
      );
      client.subscribe(topic, 10);
      await changes;
      const { event_seq } = (await world.call('GET', `/api/batches/${batch.id}`)).json;
      await client.wait('batch_changed', (frame) => frame.seq === event_seq);
      expect(stored(client, batch.id).map(({ seq }) => seq)).toEqual(
        Array.from({ length: event_seq - 10 }, (_, at) => at + 11),
      );
      expect(client.of('resync')).toEqual([]);
    }));

  it('tell each event once to who listens to a batch and to all of them', () =>
    live(async (client) => {
      const batch = await world.batch();
      client.subscribe('batches');
      client.subscribe(`batch:${batch.id}`);
      await client.wait('subscribed', (frame) => frame.topic.startsWith('batch:'));
      await world.call('PATCH', `/api/batches/${batch.id}`, { json: { name: 'once' } });
      await world.call('PATCH', `/api/batches/${batch.id}`, { json: { name: 'twice' } });
      const { event_seq } = (await world.call('GET', `/api/batches/${batch.id}`)).json;
      await client.wait('batch_changed', (frame) => frame.seq === event_seq);
      expect(stored(client, batch.id)).toHaveLength(2);
    }));

  it.each([
    ['a number that is not reached yet', (id: string) => [`batch:${id}`, 1_000_000]],
    ['all batches, which have no number in common', () => ['batches', 1]],
    ['items, which are not stored', (id: string) => [`items:${id}`, 1]],
  ] as const)('ask to read again for %s', (_, ask) =>
    live(async (client) => {
      const batch = await world.batch();
      const [topic, since] = ask(batch.id);
      client.subscribe(String(topic), Number(since));
      expect(await client.wait('resync')).toEqual({ type: 'resync', topic });
    }),
  );

  it('ask to read again when too much was missed', () =>
    live(async (client) => {
      const batch = await world.batch();
      for (let at = 0; at < 21; at++) {
        await Promise.all(
          Array.from({ length: 50 }, (_, n) =>
            world.engine.update({ batch_id: batch.id, fields: { name: `n${at}.${n}` } }),
          ),
        );
      }
      client.subscribe(`batch:${batch.id}`, 1);
      await client.wait('resync');
      expect(stored(client, batch.id)).toEqual([]);
    }));

  it('end when they are not wanted any more', () =>
    live(async (client) => {
      const batch = await world.batch();
      client.subscribe(`batch:${batch.id}`);
      client.send({ type: 'unsubscribe', topic: `batch:${batch.id}` });
      await client.wait('unsubscribed');
      await world.call('PATCH', `/api/batches/${batch.id}`, { json: { name: 'unheard' } });
      client.subscribe('batches');
      await client.wait('subscribed', (frame) => frame.topic === 'batches');
      expect(client.of('batch_changed')).toEqual([]);
    }));
});

describe('what a client may say', () => {
  it.each([
    ['no JSON', 'hello'],
    ['a list', '[]'],
    ['an unknown type', { type: 'publish', topic: 'batches' }],
    ['no topic', { type: 'subscribe' }],
    ['an unknown topic', { type: 'subscribe', topic: 'workers' }],
    ['a topic of no batch', { type: 'subscribe', topic: 'batch:bat_short' }],
    ['a negative number', { type: 'subscribe', topic: 'batches', since: -1 }],
    ['a number as text', { type: 'subscribe', topic: 'batches', since: '1' }],
    ['an unknown field', { type: 'subscribe', topic: 'batches', key: 'x' }],
    ['a key given twice', '{"type":"subscribe","topic":"batches","topic":"batches"}'],
    ['__proto__', '{"type":"subscribe","topic":"batches","__proto__":{}}'],
    ['bytes', new Uint8Array([123, 125])],
  ])('%s: bad_message, and the connection stays', (_, message) =>
    live(async (client) => {
      client.send(message);
      expect(await client.wait('error')).toMatchObject({ code: 'bad_message', message: expect.any(String) });
      client.subscribe('batches');
      await client.wait('subscribed');
    }),
  );

  it('a batch that is not there: not_found', () =>
    live(async (client) => {
      for (const topic of [`batch:${NOBODY}`, `items:${NOBODY}`]) {
        client.subscribe(topic, 1);
        expect(await client.wait('error', (frame) => frame.topic === topic)).toMatchObject({
          code: 'not_found',
        });
      }
    }));

  it('more than a hundred topics: bad_message', () =>
    live(async (client) => {
      const batches = await Promise.all(Array.from({ length: 51 }, () => world.batch()));
      const topics = batches.flatMap(({ id }) => [`batch:${id}`, `items:${id}`]);
      for (const topic of topics.slice(0, 101)) client.subscribe(topic);
      expect(await client.wait('error')).toMatchObject({ code: 'bad_message', topic: topics[100] });
      expect(client.of('subscribed')).toHaveLength(100);
      client.send({ type: 'unsubscribe', topic: topics[0] });
      client.subscribe(String(topics[100]));
      await client.wait('subscribed', (frame) => frame.topic === topics[100]);
    }));

  it('a message over 64 KiB closes the connection', () =>
    live(async (client) => {
      client.send('x'.repeat(65_537));
      expect(await client.closed).toBe(1009);
    }));

  it('a flood of messages closes the connection', () =>
    live(async (client) => {
      for (let at = 0; at < 1_000; at++) client.send({ type: 'unsubscribe', topic: 'batches' });
      expect(await client.closed).toBe(1008);
    }));
});

it('says goodbye to live connections when the server goes down', async () => {
  const own = await openWorld();
  const { url: ownUrl } = await own.listen();
  const client = await openLive(ownUrl);
  client.subscribe('batches');
  await client.wait('subscribed');
  await own.close();
  expect(await client.closed).toBe(1001);
});
