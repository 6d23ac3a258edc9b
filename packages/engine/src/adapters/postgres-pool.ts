import pg from 'pg';

/** A peer that vanished without a word is noticed after a quarter of a minute, not after two hours. */
export const KEEP_ALIVE = { keepAlive: true, keepAliveInitialDelayMillis: 5_000 };

/**
 * What a session does to others while its process cannot go on. One that is stopped, or was cut off,
 * in the middle of a transaction holds locks: it is ended, and what it wanted to write is refused when
 * it wakes. The same when it takes no answers any more.
 */
export const SESSION_LIMITS = `set idle_in_transaction_session_timeout to 5000;
  set tcp_user_timeout to 10000; set tcp_keepalives_idle to 5; set tcp_keepalives_interval to 2;
  set tcp_keepalives_count to 5`;

/**
 * A small pool of one adapter's own connections. Broken ones are replaced; whoever uses one that
 * breaks finds out by his own call.
 *
 * @param options.application_name How the database lists them.
 */
export function openPostgresPool(options: {
  url: string;
  application_name: string;
  max: number;
  query_timeout: number;
}): pg.Pool {
  const { url, ...rest } = options;
  const pool = new pg.Pool({
    ...rest,
    ...KEEP_ALIVE,
    connectionString: url,
    connectionTimeoutMillis: 5_000,
    onConnect: (client) => client.query(SESSION_LIMITS),
  });
  pool.on('error', () => {});
  // The pool listens to idle ones only: one that breaks in use, between two statements, would end the process.
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}
