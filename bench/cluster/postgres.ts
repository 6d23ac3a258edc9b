import { chmodSync } from 'node:fs';
import pg from 'pg';
import {
  findPostgresBinaries,
  startPostgresServer,
} from '../../packages/engine/src/testing/postgres-server.ts';

/**
 * Runs `body` with a PostgreSQL server of its own, in this folder, with the settings it comes with:
 * what it answered to a commit survives a power failure.
 */
export async function withPostgres<Answer>(
  folder: string,
  body: (url: string) => Promise<Answer>,
): Promise<Answer> {
  const binaries = findPostgresBinaries();
  if (binaries === null) throw new Error('There is no PostgreSQL here: npm install brings one.');
  chmodSync(folder, 0o755); // the server's user must get through
  const server = await startPostgresServer(binaries, { durable: true, parent: folder });
  try {
    return await body(server.url);
  } finally {
    await server.close();
  }
}

/** One statement, on a connection of its own. */
export async function query(
  url: string,
  text: string,
  values: unknown[] = [],
): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(text, values)).rows;
  } finally {
    await client.end();
  }
}
