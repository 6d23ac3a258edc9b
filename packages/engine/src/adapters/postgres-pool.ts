import pg from 'pg';

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
    connectionString: url,
    keepAlive: true,
    connectionTimeoutMillis: 5_000,
  });
  pool.on('error', () => {});
  // The pool listens to idle ones only: one that breaks in use, between two statements, would end the process.
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}
