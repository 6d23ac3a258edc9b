import { describe, expect, it } from 'vitest';
import { createOutbox, type LiveSocket } from './outbox.ts';

/** A socket whose network takes what it is given only when told to. */
function slowSocket() {
  const sent: string[] = [];
  const waiting: { bytes: number; done: () => void }[] = [];
  const socket: LiveSocket = {
    readyState: 1,
    get bufferedAmount() {
      return waiting.reduce((sum, { bytes }) => sum + bytes, 0);
    },
    send(text, done) {
      sent.push(text);
      waiting.push({ bytes: text.length, done });
    },
    close: () => undefined,
    terminate: () => undefined,
    ping: () => undefined,
    on: () => undefined,
  };
  const drain = () => {
    for (const { done } of waiting.splice(0)) done();
  };
  return { socket, sent, drain };
}

const resync = (topic: string) => ({ type: 'resync', topic });

describe('outbox', () => {
  it('passes news on while the client keeps up', () => {
    const { socket, sent } = slowSocket();
    const outbox = createOutbox(socket, resync);
    outbox.offer('a', () => ['x']);
    outbox.say({ b: 1 });
    expect(sent).toEqual(['a', '{"b":1}']);
  });

  it('drops news for a client that is a megabyte behind, and tells it what to read again once it has caught up', () => {
    const { socket, sent, drain } = slowSocket();
    const outbox = createOutbox(socket, resync);
    const big = 'x'.repeat(1_100_000);
    outbox.offer(big, () => ['x']);
    for (let at = 0; at < 1_000; at++) outbox.offer(`dropped ${at}`, () => ['batches', 'batch:a']);
    outbox.say({ answer: true });
    expect(sent).toEqual([big, '{"answer":true}']);
    drain();
    expect(sent.slice(2)).toEqual([
      '{"type":"resync","topic":"batches"}',
      '{"type":"resync","topic":"batch:a"}',
    ]);
    outbox.offer('again', () => ['x']);
    expect(sent.at(-1)).toBe('again');
  });

  it('sends nothing to a connection that is not open', () => {
    const { socket, sent } = slowSocket();
    createOutbox({ ...socket, readyState: 2 }, resync).send('late');
    expect(sent).toEqual([]);
  });
});
