import type { Engine } from '@sheaf/engine';
import { errorCode } from '@sheaf/protocol';
import type { FastifyBaseLogger } from 'fastify';
import type { Frame } from './frames.ts';
import type { Hub } from './hub.ts';
import { batchOf, type Message, parseMessage } from './messages.ts';
import { createOutbox, type LiveSocket, OPEN } from './outbox.ts';
import { createPace } from './pace.ts';
import { replay } from './replay.ts';

export type { LiveSocket } from './outbox.ts';

const MAX_TOPICS = 100;

/** A client that asks more often than this for long is not well. */
const MESSAGES_PER_SECOND = 50;
const BURST = 200;

/** Frames that wait for a replay; one that takes longer than these last ends in a resync. */
const MAX_HELD = 5_000;

const PING_MS = 30_000;

/** How long a client may take to say goodbye. */
const GOODBYE_MS = 2_000;

/** Serves one live connection until it closes. Returns with all handlers in place. */
export function attach(
  socket: LiveSocket,
  { engine, hub, space, log }: { engine: Engine; hub: Hub; space: string; log: FastifyBaseLogger },
): void {
  const topics = new Map<string, () => void>();
  /** Frames of batches whose past is being replayed wait here, so that the order holds. */
  const held = new Map<string, { frames: Frame[]; missed: Set<string> }>();
  /** The last event of a batch that was replayed: news of it may come late, and is no news then. */
  const replayed = new Map<string, number>();
  const outbox = createOutbox(socket, resyncOf);
  const isTooFast = createPace({
    per_second: MESSAGES_PER_SECOND,
    burst: BURST,
    now: () => performance.now(),
  });
  let isAlive = true;
  let work = Promise.resolve();

  const ping = setInterval(beat, PING_MS).unref();
  const forget = hub.onClose(() => {
    socket.close(1001, 'The server is going down.');
    setTimeout(() => socket.terminate(), GOODBYE_MS).unref();
  });
  socket.on('pong', () => {
    isAlive = true;
  });
  socket.on('close', () => {
    clearInterval(ping);
    forget();
    for (const stop of topics.values()) stop();
    topics.clear();
  });
  socket.on('message', (data: Buffer, isBinary: boolean) => {
    if (isTooFast()) return socket.close(1008, 'Too many messages.');
    const message = isBinary ? null : parseMessage(data);
    if (message === null) return refuse('bad_message', 'Send {"type":"subscribe","topic":…} as text.');
    // One after the other: a topic that is asked for twice must not be replayed twice at once.
    work = work
      .then(() => obey(message))
      .catch((error: unknown) => {
        log.error({ err: error }, 'a live connection failed by a mistake of ours');
        socket.close(1011, 'internal');
      });
  });

  async function obey(message: Message): Promise<void> {
    // What was asked on a connection that has closed meanwhile must leave no listener behind.
    if (socket.readyState !== OPEN) return;
    const { type, topic } = message;
    if (type === 'unsubscribe') {
      leave(topic);
      return outbox.say({ type: 'unsubscribed', topic });
    }
    if (!topics.has(topic) && topics.size >= MAX_TOPICS) {
      return refuse('bad_message', `A connection has at most ${MAX_TOPICS} topics.`, topic);
    }
    if (!topics.has(topic)) topics.set(topic, hub.listen(topic, deliver));
    try {
      await (topic === 'batches' ? joinAll(message.since) : joinBatch(topic, message.since));
    } catch (error) {
      leave(topic);
      const code = errorCode(error);
      if (code === undefined) throw error;
      refuse(
        code,
        code === 'not_found' ? 'There is no such batch.' : 'The topic cannot be served now.',
        topic,
      );
    }
  }

  /** Each batch counts its own events, so that there is no one place in all of them to go on from. */
  function joinAll(since: number | undefined): void {
    outbox.say({ type: 'subscribed', topic: 'batches', seq: null });
    if (since !== undefined) outbox.say(resyncOf('batches'));
  }

  async function joinBatch(topic: string, since: number | undefined): Promise<void> {
    const batchId = batchOf(topic);
    const waiting = { frames: [] as Frame[], missed: new Set<string>() };
    held.set(batchId, waiting);
    try {
      const { event_seq } = await engine.get({ space, batch_id: batchId });
      outbox.say({ type: 'subscribed', topic, seq: event_seq });
      if (since !== undefined) {
        const frames = topic.startsWith('batch:')
          ? await replay(engine, { space, batch_id: batchId, since, event_seq })
          : null;
        if (frames === null) outbox.say(resyncOf(topic));
        for (const frame of frames ?? []) outbox.send(frame.text);
        const last = frames?.at(-1)?.stored_seq;
        if (typeof last === 'number') replayed.set(batchId, last);
      }
    } finally {
      held.delete(batchId);
      for (const frame of waiting.frames) if (!isOld(frame)) outbox.send(frame.text);
      for (const missed of waiting.missed) outbox.say(resyncOf(missed));
    }
  }

  function deliver(frame: Frame, of: readonly string[]): void {
    const missed = () => of.filter((topic) => topics.has(topic));
    const waiting = held.get(frame.batch_id);
    if (isOld(frame)) return;
    if (waiting === undefined) outbox.offer(frame.text, missed);
    else if (waiting.frames.length < MAX_HELD) waiting.frames.push(frame);
    else for (const topic of missed()) waiting.missed.add(topic);
  }

  function isOld({ batch_id, stored_seq }: Frame): boolean {
    return stored_seq !== null && stored_seq <= (replayed.get(batch_id) ?? 0);
  }

  function leave(topic: string): void {
    if (topic.startsWith('batch:')) replayed.delete(batchOf(topic));
    topics.get(topic)?.();
    topics.delete(topic);
  }

  function refuse(code: string, message: string, topic?: string): void {
    outbox.say({ type: 'error', code, message, ...(topic !== undefined && { topic }) });
  }

  function beat(): void {
    if (isAlive) socket.ping();
    else socket.terminate();
    isAlive = false;
  }
}

/** Tells a client that it missed something of a topic and has to read it again. */
function resyncOf(topic: string): object {
  return { type: 'resync', topic };
}
