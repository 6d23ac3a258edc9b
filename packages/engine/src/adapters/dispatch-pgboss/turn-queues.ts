import type pg from 'pg';
import type { Turn } from '../../ports/dispatch.ts';
import type { Boss } from './boss.ts';
import {
  batchPriority,
  DEFAULT_POOL,
  jobPriority,
  keyOf,
  type TurnData,
  turnStatements,
} from './turn-rows.ts';

/** Runs one statement, `$1` and on for its values: on a connection of ours, or in somebody's transaction. */
export type ExecuteSql = (text: string, values: unknown[]) => Promise<{ rows: unknown[] }>;

/** A turn in hand, with the job it came from. */
export type Taken = { turn: Turn; pool: string; id: string };

/** Turns as jobs of pg-boss: a queue a pool, a key a turn. Every call may fail as the database does. */
export type TurnQueues = {
  /** Files turns within a transaction. Last in it: whoever offers the same ones waits for its end. */
  file(executeSql: ExecuteSql, turns: readonly Turn[]): Promise<void>;
  /** The same in a transaction of our own. */
  fileNow(turns: readonly Turn[]): Promise<void>;
  /** Up to `count` of a pool's best turns, best first. */
  fetch(pool: string, count: number): Promise<Taken[]>;
  /** Ends a turn. `again`: it was offered meanwhile, or somebody else has ended it. */
  end(taken: Taken): Promise<{ again: boolean }>;
  touch(taken: readonly Taken[]): Promise<void>;
  /** Ends what nobody has touched for that long, and files it again. */
  reap(silentMs: number): Promise<void>;
  /** The best priority that waits in these pools. */
  best(pools: readonly string[]): Promise<number | null>;
};

/** The first finds what is there, the second what somebody filed meanwhile, the third a queue made again. */
const PASSES = 3;

/** A stopped process must not keep turns locked. */
const LIMIT_MS = 10_000;

export function createTurnQueues(options: { boss: Boss; pool: pg.Pool; schema: string }): TurnQueues {
  const { boss, pool } = options;
  const statements = turnStatements(options.schema);

  return {
    file,
    fileNow: (turns) => transaction((executeSql) => file(executeSql, turns)),
    async fetch(name, count) {
      const jobs = await boss.current().fetch<TurnData>(name, { batchSize: count, includeMetadata: true });
      return jobs
        .sort((a, b) => b.priority - a.priority || a.createdOn.getTime() - b.createdOn.getTime())
        .map((job) => ({ turn: turnOf(name, job), pool: name, id: job.id }));
    },
    async end({ pool: name, id }) {
      const { rows } = await pool.query<{ again: boolean }>(statements.end, [name, [id]]);
      return { again: rows[0]?.again ?? true };
    },
    async touch(taken) {
      if (taken.length === 0) return;
      const names = [...new Set(taken.map((each) => each.pool))];
      await pool.query(statements.touch, [names, taken.map(({ id }) => id)]);
    },
    reap: (silentMs) =>
      transaction(async (executeSql) => {
        const { rows } = await executeSql(statements.reap, [silentMs]);
        // As the statement says; a program that files other things in our queues is not ours.
        const dead = rows as { pool: string; data: TurnData; priority: number }[];
        await file(
          executeSql,
          dead.map((job) => turnOf(job.pool, job)),
        );
      }),
    async best(pools) {
      const { rows } = await pool.query<{ best: number | null }>(statements.best, [pools]);
      const best = rows[0]?.best ?? null;
      return best === null ? null : batchPriority(best);
    },
  };

  async function file(executeSql: ExecuteSql, turns: readonly Turn[]): Promise<void> {
    // Pools and keys in one order everywhere, so that two transactions never wait for each other.
    for (const [name, its] of [...byPool(turns)].sort(([a], [b]) => compare(a, b))) {
      await boss.ensureQueue(name);
      await fileIn(executeSql, { name, turns: its });
    }
  }

  async function fileIn(
    executeSql: ExecuteSql,
    { name, turns }: { name: string; turns: Turn[] },
  ): Promise<void> {
    let left = turns;
    for (let pass = 1; pass <= PASSES; pass++) {
      const met = await executeSql(statements.meet({ wait: pass === 1 }), [
        name,
        left.map(keyOf),
        left.map(jobPriority),
        boss.channel(),
      ]);
      // As the statement says.
      const known = new Set((met.rows as { key: string }[]).map(({ key }) => key));
      left = left.filter((turn) => !known.has(keyOf(turn)));
      if (left.length === 0) return;
      const jobs = left.map((turn) => ({
        singletonKey: keyOf(turn),
        priority: jobPriority(turn),
        data: { batch_id: turn.batch_id, n: turn.n } satisfies TurnData,
      }));
      const db = { executeSql: (text: string, values: unknown[] = []) => executeSql(text, values) };
      const filed = await boss.current().insert(name, jobs, { db, returnId: true });
      if (filed?.length === jobs.length) return;
      // None at all: perhaps the queue is gone, and then nothing is ever filed.
      if (filed === null) await boss.ensureQueue(name, { again: true });
    }
  }

  async function transaction(work: (executeSql: ExecuteSql) => Promise<void>): Promise<void> {
    const client = await pool.connect();
    try {
      // Not as settings of the session: a pooler in between would refuse them.
      await client.query(`begin; set local statement_timeout = ${LIMIT_MS};
        set local idle_in_transaction_session_timeout = ${LIMIT_MS}`);
      await work((text, values) => client.query(text, values));
      await client.query('commit');
      client.release();
    } catch (error) {
      // The connection goes, and with it whatever was begun.
      client.release(true);
      throw error;
    }
  }
}

function turnOf(pool: string, { data, priority }: { data: TurnData; priority: number }): Turn {
  const turn = { batch_id: data.batch_id, n: data.n, priority: batchPriority(priority) };
  return pool === DEFAULT_POOL ? turn : { ...turn, pool };
}

/** Each turn once, the last offer of it, in the order of keys. */
function byPool(turns: readonly Turn[]): Map<string, Turn[]> {
  const pools = new Map<string, Map<string, Turn>>();
  for (const turn of turns) {
    const name = turn.pool ?? DEFAULT_POOL;
    const its = pools.get(name) ?? new Map<string, Turn>();
    pools.set(name, its.set(keyOf(turn), turn));
  }
  return new Map(
    [...pools].map(([name, its]) => [name, [...its.values()].sort((a, b) => compare(keyOf(a), keyOf(b)))]),
  );
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
