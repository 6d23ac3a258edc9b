import { setImmediate as turn } from 'node:timers/promises';
import type { Engine } from '@sheaf/engine';
import type { SheafEvent, StoredEvent } from '@sheaf/protocol';
import type { FastifyBaseLogger } from 'fastify';
import { describe, expect, it } from 'vitest';
import { attach, type LiveSocket } from './connection.ts';
import { createHub, type Hub } from './hub.ts';

const ID = 'bat_01k9cxy8g2e4rr7m5hq0tzvw3a';

const changed = (seq: number): StoredEvent => ({
  type: 'batch_changed',
  batch_id: ID,
  seq,
  at: 0,
  fields: [],
  by: 'x',
});

/**
 * A connection over an engine whose answers come when the test says so: what is tried here is the
 * order of things that a real engine gets right most of the time by chance.
 */
function scene(stored: number) {
  let publish: (event: SheafEvent) => void = () => undefined;
  const asked: (() => void)[] = [];
  const later = <T>(value: () => T) => new Promise<T>((resolve) => asked.push(() => resolve(value())));
  const state = { stored };
  const engine = {
    subscribe: (_: unknown, listener: typeof publish) => {
      publish = listener;
      return () => undefined;
    },
    get: () => later(() => ({ event_seq: state.stored })),
    events: ({ since }: { since: number }) =>
      later(() => Array.from({ length: state.stored - since }, (_, at) => changed(since + 1 + at))),
  } as unknown as Engine; // only what a connection calls, and of it only what it reads
  const handlers = new Map<string, (data: Buffer, isBinary: boolean) => void>();
  const sent: string[] = [];
  const socket: LiveSocket & { readyState: number } = {
    readyState: 1,
    bufferedAmount: 0,
    send: (text) => sent.push(text),
    close: () => undefined,
    terminate: () => undefined,
    ping: () => undefined,
    on: (event: string, handler: (data: Buffer, isBinary: boolean) => void) => handlers.set(event, handler),
  };
  const hub = createHub(engine);
  let listening = 0;
  const counted: Hub = {
    ...hub,
    listen(topic, listener) {
      listening++;
      const stop = hub.listen(topic, listener);
      return () => {
        listening--;
        stop();
      };
    },
  };
  attach(socket, { engine, hub: counted, space: 'default', log: console as unknown as FastifyBaseLogger }); // never used here
  return {
    state,
    listening: () => listening,
    publish: (event: SheafEvent) => publish(event),
    say: (message: object) => handlers.get('message')?.(Buffer.from(JSON.stringify(message)), false),
    hangUp: () => {
      socket.readyState = 3;
      handlers.get('close')?.(Buffer.alloc(0), false);
    },
    /** Lets the engine answer the oldest question. */
    async answer() {
      while (asked.length === 0) await turn();
      asked.shift()?.();
      await turn();
    },
    seqs: () =>
      sent
        .map((text) => JSON.parse(text))
        .filter(({ type }) => type === 'batch_changed')
        .map(({ seq }) => seq),
    types: () => sent.map((text) => JSON.parse(text).type),
  };
}

describe('a live connection', () => {
  it('tells what happens during a replay behind it, and nothing twice', async () => {
    const { state, say, answer, publish, seqs } = scene(3);
    say({ type: 'subscribe', topic: `batch:${ID}`, since: 1 });
    publish(changed(3));
    await answer();
    state.stored = 4;
    publish(changed(4));
    publish(changed(5));
    expect(seqs()).toEqual([]);
    await answer();
    expect(seqs()).toEqual([2, 3, 4, 5]);
  });

  it('drops news of what was replayed that comes only later', async () => {
    const { say, answer, publish, seqs } = scene(3);
    say({ type: 'subscribe', topic: `batch:${ID}`, since: 0 });
    await answer();
    await answer();
    publish(changed(3));
    publish(changed(4));
    expect(seqs()).toEqual([1, 2, 3, 4]);
  });

  it('holds news of a batch also for who listens to all of them', async () => {
    const { say, answer, publish, seqs } = scene(2);
    say({ type: 'subscribe', topic: 'batches' });
    say({ type: 'subscribe', topic: `batch:${ID}`, since: 0 });
    await turn();
    publish(changed(3));
    await answer();
    await answer();
    expect(seqs()).toEqual([1, 2, 3]);
  });

  it('loses no news of a batch that was only asked to be watched', async () => {
    const { say, answer, publish, seqs, types } = scene(2);
    say({ type: 'subscribe', topic: `batch:${ID}` });
    await turn();
    publish(changed(2));
    await answer();
    publish(changed(3));
    expect(types()[0]).toBe('subscribed');
    expect(seqs()).toEqual([2, 3]);
  });

  it('asks to read again when a replay takes too long to hold what happens', async () => {
    const { say, answer, publish, types } = scene(1);
    say({ type: 'subscribe', topic: `batch:${ID}`, since: 0 });
    await turn();
    for (let seq = 2; seq < 6_000; seq++) publish(changed(seq));
    await answer();
    await answer();
    expect(types().at(-1)).toBe('resync');
  });

  it('leaves no listener behind for what was asked just before it closed', async () => {
    const { say, hangUp, answer, listening } = scene(1);
    say({ type: 'subscribe', topic: `batch:${ID}` });
    say({ type: 'subscribe', topic: 'batches' });
    await turn();
    expect(listening()).toBe(1);
    hangUp();
    await answer();
    await turn();
    expect(listening()).toBe(0);
  });
});
