import { SheafError } from '@sheaf/protocol';
import type pg from 'pg';
import { type Db, PgBoss } from 'pg-boss';
import { listenPostgres } from '../listen-postgres.ts';
import { turnStatements } from './turn-rows.ts';

/** A started pg-boss, made anew whenever its schema was taken away. */
export type Boss = {
  current(): PgBoss;
  /** Where pg-boss tells of new jobs; null where it cannot. */
  channel(): string | null;
  /**
   * Makes the queue of a pool, once.
   *
   * @default again false; true makes it even where it was made before: its row may be gone
   */
  ensureQueue(pool: string, options?: { again?: boolean }): Promise<void>;
  /** Makes what is missing: the schema, its tables, the queues. At most one attempt a second. */
  repair(): Promise<void>;
  close(): Promise<void>;
};

const DAY_SECONDS = 86_400;
const REPAIR_MS = 1_000;

/** pg-boss works in its schema only; a random number keeps two programs from repairing at once. */
const REPAIR_LOCK = 7_265_114_903;

/**
 * pg-boss without its background work: our turns are ended by whoever took them or by their reaper,
 * their rows go at once, and nothing is scheduled. It listens on a connection of its own.
 *
 * @param options.onTurn Called when a turn was filed, and when hearing of them begins.
 */
export async function startBoss(options: {
  url: string;
  pool: pg.Pool;
  schema: string;
  onTurn: () => void;
}): Promise<Boss> {
  const { pool, schema } = options;
  const statements = turnStatements(schema);
  const queues = new Set<string>();
  let repairing: Promise<void> | null = null;
  let isClosed = false;
  let channel: string | null = null;
  let repairedAt = Number.NEGATIVE_INFINITY;
  let boss = await start();

  return {
    current: () => boss,
    channel: () => channel,
    ensureQueue,
    repair,
    async close() {
      isClosed = true;
      await repairing?.catch(() => {});
      await stop(boss);
    },
  };

  async function start(): Promise<PgBoss> {
    const db: Db = {
      executeSql: (text, values) => pool.query(text, values),
      listen(name) {
        channel = name;
        return listenPostgres({
          url: options.url,
          channel: name,
          application_name: 'sheaf turns',
          onHeard: options.onTurn,
          onUp: options.onTurn,
        });
      },
    };
    const made = new PgBoss({ db, schema, supervise: false, schedule: false, useListenNotify: true });
    // Its own timers meet every outage, too; we notice by our own calls.
    made.on('error', () => {});
    made.on('warning', () => {});
    try {
      await made.start();
    } catch (error) {
      await stop(made);
      throw error;
    }
    return made;
  }

  async function ensureQueue(name: string, { again = false }: { again?: boolean } = {}): Promise<void> {
    if (queues.has(name) && !again) return;
    // Known before it is made: a repair makes it, too.
    queues.add(checkName('pool', name));
    await boss.createQueue(name, {
      policy: 'exclusive',
      notify: true,
      retryLimit: 0,
      expireInSeconds: DAY_SECONDS - 1,
      deleteAfterSeconds: 60,
    });
  }

  function repair(): Promise<void> {
    const isSoon = performance.now() - repairedAt < REPAIR_MS;
    if (isClosed || (repairing === null && isSoon)) return Promise.resolve();
    repairing ??= repairNow().finally(() => {
      repairing = null;
      repairedAt = performance.now();
    });
    return repairing;
  }

  async function repairNow(): Promise<void> {
    await dropIfBroken();
    const old = boss;
    boss = await start();
    await stop(old);
    for (const name of queues) await ensureQueue(name, { again: true });
  }

  /** A schema that has lost only some of its tables is of no use, and pg-boss would not make them again. */
  async function dropIfBroken(): Promise<void> {
    const client = await pool.connect();
    try {
      await client.query('begin');
      await client.query('select pg_advisory_xact_lock($1)', [REPAIR_LOCK]);
      const { rows } = await client.query(statements.isBroken);
      if (rows[0]?.broken === true) await client.query(statements.drop);
      await client.query('commit');
      client.release();
    } catch (error) {
      client.release(true);
      throw error;
    }
  }
}

async function stop(boss: PgBoss): Promise<void> {
  await boss.stop({ graceful: false, close: false }).catch(() => {});
}

/** Names go into statements as they are. */
export function checkName(what: string, name: string): string {
  if (/^[a-z_][a-z0-9_]{0,49}$/.test(name)) return name;
  throw new SheafError(
    'bad_config',
    `A ${what} is named with small letters, digits and _, at most 50, not “${name}”.`,
  );
}
