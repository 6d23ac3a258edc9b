import type { PostgresPool, PostgresPoolClient } from 'kysely';
import type pg from 'pg';

/**
 * Settings of each connection. A process that is stopped in the middle of a transaction holds locks:
 * its session is ended, and what it wanted to write is refused when it wakes. Compiling queries would
 * cost more than ours take.
 */
const settings = (schema: string) =>
  `set search_path to "${schema}"; set idle_in_transaction_session_timeout to 10000; set lock_timeout to 10000; set jit to off; set random_page_cost to 1.1`;

/** A bound on the statements one connection keeps: lists of any length are one parameter, so the texts are few. */
const MAX_STATEMENTS = 500;

/** A pool of `pg` in the shape Kysely expects. Statements are prepared by name, once a connection. */
export function adaptPool(pool: pg.Pool, schema: string): PostgresPool {
  const names = new Map<string, string>();
  const clients = new WeakMap<pg.PoolClient, PostgresPoolClient>();
  return {
    options: pool.options,
    end: () => pool.end(),
    async connect() {
      const client = await pool.connect();
      const known = clients.get(client);
      if (known !== undefined) return known;
      // Whoever uses it learns from his query that it broke; an event nobody hears would end the process.
      client.on('error', () => {});
      // It is of no use without its settings.
      const ready = client.query(settings(schema));
      const adapted = adaptClient(client, nameOf);
      clients.set(client, adapted);
      try {
        await ready;
      } catch (error) {
        client.release(true);
        throw error;
      }
      return adapted;
    },
  };

  function nameOf(text: string): string | undefined {
    const known = names.get(text);
    if (known !== undefined || names.size >= MAX_STATEMENTS) return known;
    const name = `s${names.size + 1}`;
    names.set(text, name);
    return name;
  }
}

function adaptClient(
  client: pg.PoolClient,
  nameOf: (text: string) => string | undefined,
): PostgresPoolClient {
  /** Parameters make a statement that comes again; without any it is a command. */
  const run = (text: string, values: readonly unknown[]) => {
    if (values.length === 0) return client.query(text);
    const name = nameOf(text);
    return client.query({ ...(name !== undefined && { name }), text, values: [...values] });
  };
  const query = async (text: string, values: readonly unknown[] = []) => {
    if (!text.startsWith('begin') && !text.startsWith('start transaction')) return run(text, values);
    // Goes out with the first statement, which fails if this one does.
    client.query(text).catch(() => undefined);
    return { command: 'BEGIN', rowCount: 0, rows: [] };
  };
  return {
    // The results of `pg` are what Kysely reads; its type also knows cursors, which are not used.
    query: query as unknown as PostgresPoolClient['query'],
    release: (discard) => client.release(discard),
  };
}
