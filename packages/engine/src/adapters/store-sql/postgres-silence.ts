import pg from 'pg';

/**
 * A statement without an answer for this long is asked after: the network may have lost it, and a
 * connection that nobody ends would keep it waiting for ever.
 */
const SILENT_MS = 3_000;
const LOOK_MS = 1_000;
const ANSWER_MS = 5_000;

/** Who has sent his answer this long ago has sent it in vain. */
const IDLE_MS = 2_000;

/** Ends connections that have fallen silent. A limit on silence, not on work: large batches take their time. */
export type SilenceWatch = {
  /** Watches over a statement until it is answered. */
  during<T>(connection: Watched, answer: Promise<T>): Promise<T>;
  close(): void;
};

export type Watched = {
  client: pg.PoolClient;
  /** The server's process; null until it is known. */
  pid: number | null;
  /** Statements on their way. */
  pending: number;
  /** The monotonic time of the last answer, or of the last statement that went out on its own. */
  heard_at: number;
};

/** @param options.url Where the server is asked whether it is still at work, on a connection of its own. */
export function watchSilence(options: { url: string; application_name: string }): SilenceWatch {
  const waiting = new Set<Watched>();
  let isAsking = false;
  const timer = setInterval(() => {
    if (!isAsking) void look();
  }, LOOK_MS).unref();

  return {
    async during(connection, answer) {
      connection.pending += 1;
      if (connection.pending === 1) {
        connection.heard_at = performance.now();
        waiting.add(connection);
      }
      try {
        return await answer;
      } finally {
        connection.pending -= 1;
        connection.heard_at = performance.now();
        if (connection.pending === 0) waiting.delete(connection);
      }
    },
    close: () => clearInterval(timer),
  };

  async function look(): Promise<void> {
    const before = performance.now() - SILENT_MS;
    const silent = [...waiting].filter((connection) => connection.heard_at < before);
    if (silent.length === 0) return;
    isAsking = true;
    const asked = performance.now();
    const atWork = await whoIsAtWork(silent.flatMap(({ pid }) => (pid === null ? [] : [pid])));
    isAsking = false;
    for (const connection of silent) {
      // It was answered meanwhile.
      if (connection.heard_at > before) continue;
      if (connection.pid !== null && atWork.has(connection.pid)) connection.heard_at = asked;
      // Everything that waits on it fails at once. Its own `end` would wait for the answers.
      else connection.client.connection.stream.destroy();
    }
  }

  /** Those of our server processes that are at work: they have heard us, and will answer. */
  async function whoIsAtWork(pids: readonly number[]): Promise<Set<number>> {
    const client = new pg.Client({
      connectionString: options.url,
      application_name: options.application_name,
      connectionTimeoutMillis: ANSWER_MS,
      query_timeout: ANSWER_MS,
    });
    client.on('error', () => {});
    try {
      await client.connect();
      const { rows } = await client.query<{ pid: number }>(
        `select pid from pg_stat_activity where pid = any($1)
          and not (state like 'idle%' and state_change < clock_timestamp() - $2 * interval '1 ms')`,
        [pids, IDLE_MS],
      );
      return new Set(rows.map(({ pid }) => pid));
    } catch (error) {
      // A server that refuses can be reached: nothing is known against the connections we have.
      return error instanceof pg.DatabaseError ? new Set(pids) : new Set();
    } finally {
      // Not waited for: its end may get lost, too.
      void client.end().catch(() => {});
    }
  }
}
