import type { PostgresPool, PostgresPoolClient } from 'kysely';
import type pg from 'pg';
import { SESSION_LIMITS } from '../postgres-pool.ts';
import type { SilenceWatch, Watched } from './postgres-silence.ts';

/** Settings of each connection. Compiling queries would cost more than ours take. */
const settings = (schema: string) =>
  `set search_path to "${schema}"; ${SESSION_LIMITS}; set lock_timeout to 10000; set jit to off;
  set random_page_cost to 1.1; select pg_backend_pid() as pid`;

/** A bound on the statements one connection keeps: lists of any length are one parameter, so the texts are few. */
const MAX_STATEMENTS = 500;

/** A pool of `pg` in the shape Kysely expects. Statements are prepared by name, once a connection. */
export function adaptPool(pool: pg.Pool, schema: string, watch: SilenceWatch): PostgresPool {
  const names = new Map<string, string>();
  const clients = new WeakMap<pg.PoolClient, PostgresPoolClient>();
  return {
    options: pool.options,
    async end() {
      await pool.end();
      watch.close();
    },
    async connect() {
      const client = await pool.connect();
      const known = clients.get(client);
      if (known !== undefined) return known;
      // Whoever uses it learns from his query that it broke; an event nobody hears would end the process.
      client.on('error', () => {});
      const watched: Watched = { client, pid: null, pending: 0, heard_at: 0 };
      const adapted = adaptClient(watched, { watch, nameOf });
      clients.set(client, adapted);
      try {
        // It is of no use without its settings. Several statements have several results, whatever the type says.
        const results: unknown = await watch.during(watched, client.query(settings(schema)));
        const { rows } = (results as pg.QueryResult<{ pid: number }>[]).at(-1) ?? { rows: [] };
        watched.pid = rows[0]?.pid ?? null;
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
  watched: Watched,
  { watch, nameOf }: { watch: SilenceWatch; nameOf: (text: string) => string | undefined },
): PostgresPoolClient {
  const { client } = watched;
  /** Parameters make a statement that comes again; without any it is a command. */
  const send = (text: string, values: readonly unknown[]) => {
    if (values.length === 0) return client.query(text);
    const name = nameOf(text);
    return client.query({ ...(name !== undefined && { name }), text, values: [...values] });
  };
  const run = (text: string, values: readonly unknown[]) => watch.during(watched, send(text, values));
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
