import pg from 'pg';
import { KEEP_ALIVE } from './postgres-pool.ts';

/** A connection that does nothing but hear NOTIFY; it comes back by itself when it was lost. */
export type PostgresListener = { close(): Promise<void> };

const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 5_000;

/** A peer that vanished without a word is noticed after this long and one more. */
const CHECK_MS = 10_000;
const ANSWER_MS = 5_000;

/**
 * Hears one channel. The first attempt is over when it resolves, successful or not: NOTIFY is only
 * ever a hint that comes sooner than the next look.
 *
 * @param options.onHeard Gets the payload.
 * @param options.onUp Called whenever hearing begins, also after a loss: what was said meanwhile was missed.
 */
export async function listenPostgres(options: {
  url: string;
  channel: string;
  application_name: string;
  onHeard: (payload: string) => void;
  onUp: () => void;
}): Promise<PostgresListener> {
  let isClosed = false;
  let current: pg.Client | null = null;
  let timer: NodeJS.Timeout | null = null;
  let wait = FIRST_WAIT_MS;

  await connect();
  return {
    async close() {
      isClosed = true;
      if (timer !== null) clearTimeout(timer);
      await current?.end().catch(() => {});
    },
  };

  async function connect(): Promise<void> {
    const client = new pg.Client({
      connectionString: options.url,
      application_name: options.application_name,
      ...KEEP_ALIVE,
      connectionTimeoutMillis: ANSWER_MS,
      query_timeout: ANSWER_MS,
    });
    client.on('error', () => lost(client));
    client.on('end', () => lost(client));
    client.on('notification', ({ payload = '' }) => options.onHeard(payload));
    current = client;
    try {
      await client.connect();
      await client.query(`listen ${pg.escapeIdentifier(options.channel)}`);
    } catch {
      lost(client);
      return;
    }
    if (isClosed) {
      await client.end().catch(() => {});
      return;
    }
    if (current !== client) return;
    wait = FIRST_WAIT_MS;
    check(client);
    options.onUp();
  }

  function check(client: pg.Client): void {
    timer = setTimeout(() => {
      client.query('select 1').then(
        () => {
          if (current === client && !isClosed) check(client);
        },
        () => lost(client),
      );
    }, CHECK_MS).unref();
  }

  function lost(client: pg.Client): void {
    if (current !== client) return;
    current = null;
    if (timer !== null) clearTimeout(timer);
    // Half-open connections never end by themselves.
    client.end().catch(() => {});
    if (isClosed) return;
    timer = setTimeout(() => void connect(), wait).unref();
    wait = Math.min(LONGEST_WAIT_MS, wait * 2);
  }
}
