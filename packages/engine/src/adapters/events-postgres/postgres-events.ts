import type { SheafEvent } from '@sheaf/protocol';
import type { Clock } from '../../ports/clock.ts';
import type { Events } from '../../ports/events.ts';
import { listenPostgres } from '../listen-postgres.ts';
import { openPostgresPool } from '../postgres-pool.ts';
import { createSpaceListeners } from '../space-listeners.ts';
import { createCatchUp, type NewsSource } from './catch-up.ts';
import { createHeardSteps } from './heard-steps.ts';
import { readMessage, writeMessage } from './message.ts';
import { createOutbox } from './outbox.ts';

export type PostgresEvents = Required<Events> & {
  /** Tells the others what they were not told yet, and ends. */
  close(): Promise<void>;
};

/** A process speaks at most four times a second. */
const SPEAK_MS = 250;
const RETRY_MS = 1_000;

/** At the end no more than this many messages are sent. */
const LAST_MESSAGES = 4;

/**
 * News between the processes of a cluster.
 *
 * What is published reaches the listeners of this process at once. The others learn by NOTIFY that a
 * batch has news, ids only, and read them in the Store: so a listener gets each stored event once and
 * in order, wherever it came from. After a lost connection everything that was missed is read. What
 * items are at is in no Store: it is told as it is, where there is room, and may be lost.
 *
 * @param options.boot Names this process; its own messages are not for itself.
 * @param options.clock That of the Store: database time.
 * @param options.channel One for each installation in a database. Default `sheaf_events`.
 */
export async function createPostgresEvents(options: {
  url: string;
  boot: string;
  store: NewsSource;
  clock: Clock;
  channel?: string;
}): Promise<PostgresEvents> {
  const { url, boot, store, clock, channel = 'sheaf_events' } = options;
  const listeners = createSpaceListeners();
  const outbox = createOutbox(boot);
  const heard = createHeardSteps(clock);
  const catchUp = createCatchUp({ store, clock, tell: listeners.publish });
  const pool = openPostgresPool({ url, application_name: 'sheaf events', max: 1, query_timeout: 5_000 });
  let isClosed = false;
  let nextAt = 0;
  let timer: NodeJS.Timeout | null = null;
  let speaking: Promise<void> | null = null;

  const listener = await listenPostgres({
    url,
    channel,
    application_name: 'sheaf events',
    onHeard: hear,
    onUp: () => {
      for (const space of listeners.spaces()) catchUp.lookAll(space);
    },
  });

  return {
    publish(space, event) {
      outbox.add(space, event);
      speakSoon();
      if (isStored(event)) {
        catchUp.own(space, event);
        return;
      }
      listeners.publish(space, event);
      if (event.type === 'batch_progress') catchUp.reached(space, event.batch_id, event.seq);
    },

    subscribe(space, listener) {
      const stop = listeners.subscribe(space, listener);
      catchUp.begin(space);
      return () => {
        stop();
        if (!listeners.has(space)) catchUp.forget(space);
      };
    },

    heardOf: heard.of,

    async close() {
      if (isClosed) return;
      isClosed = true;
      if (timer !== null) clearTimeout(timer);
      await speaking;
      for (let left = LAST_MESSAGES; left > 0 && !outbox.isEmpty(); left--) {
        if (!(await speak())) break;
      }
      await listener.close();
      await catchUp.close();
      await pool.end();
    },
  };

  function hear(payload: string): void {
    const message = readMessage(payload);
    if (message === null || message.boot === boot) return;
    for (const [space, batches] of Object.entries(message.spaces)) {
      for (const news of batches) catchUp.hear(space, news);
    }
    for (const space of message.lost) catchUp.lookAll(space);
    for (const { space, event } of message.steps) {
      heard.note(event);
      listeners.publish(space, event);
    }
  }

  function speakSoon(): void {
    if (isClosed || timer !== null || speaking !== null || outbox.isEmpty()) return;
    timer = setTimeout(
      () => {
        timer = null;
        speaking = speak().then((isSaid) => {
          nextAt = performance.now() + (isSaid ? SPEAK_MS : RETRY_MS);
          speaking = null;
          speakSoon();
        });
      },
      Math.max(0, nextAt - performance.now()),
    ).unref();
  }

  async function speak(): Promise<boolean> {
    const message = outbox.next();
    try {
      await pool.query('select pg_notify($1, $2)', [channel, writeMessage(message)]);
      return true;
    } catch {
      outbox.putBack(message);
      return false;
    }
  }
}

function isStored(event: SheafEvent) {
  return 'at' in event;
}
