import { SheafError } from '@sheaf/protocol';
import type { Dispatch, Turn } from '../../ports/dispatch.ts';
import { openPostgresPool } from '../postgres-pool.ts';
import { checkName, startBoss } from './boss.ts';
import { createTurnQueues, type ExecuteSql, type Taken } from './turn-queues.ts';
import { DEFAULT_POOL } from './turn-rows.ts';

export type PgBossDispatchOptions = {
  url: string;
  /**
   * The schema pg-boss keeps its tables in. Ours alone: it is made anew when it is damaged.
   *
   * @default 'sheaf_turns'
   */
  schema?: string;
  /**
   * The pools whose turns are taken here.
   *
   * @default ['default']
   */
  pools?: readonly string[];
  /**
   * How often an idle worker looks for turns that NOTIFY did not tell of.
   *
   * @default 1000
   */
  poll_ms?: number;
  /** Hears once of each time the turns cannot be reached; the calls themselves do not fail. */
  onError?: (error: unknown) => void;
};

export type PgBossDispatch = Dispatch & {
  /**
   * Offers turns within somebody's transaction: they can be taken when it commits. Call it last, for
   * other offers of the same turns wait for the end. A problem of ours is undone to a savepoint and
   * does not spoil the transaction: the turns are then offered when the trouble is over.
   *
   * @throws what `executeSql` throws when the connection itself is lost.
   */
  offerIn(executeSql: ExecuteSql, turns: readonly Turn[]): Promise<void>;
};

const BEAT_MS = 2_000;

/** A turn nobody has touched for this long is somebody else's; three beats. */
const SILENT_MS = 6_000;

/** The guess whether turns wait is made anew after this, and not believed any more after that. */
const LOOK_MS = 250;
const STALE_MS = 2_000;

/** Offers kept while they cannot be made; the sweep makes the others. */
const MAX_LATER = 1_000;

/**
 * Turns in PostgreSQL, for many processes: each is a job of pg-boss, its key is the turn's, and pools
 * are queues. Within a pool priorities are exact, and batches of one priority take turns.
 *
 * Whatever happens to its tables or connections, it comes back by itself; what it lost the sweep
 * offers again. Turns of a process that died are with another one after about eight seconds.
 *
 * @throws store_unavailable when the database cannot be reached at the start.
 */
export async function createPgBossDispatch(options: PgBossDispatchOptions): Promise<PgBossDispatch> {
  const {
    url,
    schema = 'sheaf_turns',
    pools = [DEFAULT_POOL],
    poll_ms: pollMs = 1_000,
    onError = () => {},
  } = options;
  checkName('schema', schema);
  const pool = openPostgresPool({ url, application_name: 'sheaf turns', max: 4, query_timeout: 15_000 });
  const takers = new Set<(turn: Turn | null) => void>();
  const inHand = new Map<Turn, Taken>();
  const unended = new Set<Taken>();
  const later = new Map<string, Turn>();
  let isClosed = false;
  let isTroubled = false;
  let feeding: Promise<void> | null = null;
  let isDue = false;
  let poll: NodeJS.Timeout | null = null;
  let nextPool = 0;
  let best: number | null = null;
  let lookedAt = Number.NEGATIVE_INFINITY;
  let beating: Promise<void> | null = null;

  const boss = await startBoss({ url, pool, schema, onTurn: feed }).catch(async (error: unknown) => {
    await pool.end();
    const what = error instanceof Error ? error.message : String(error);
    throw new SheafError('store_unavailable', `Turns cannot be kept in PostgreSQL: ${what}`, {}, error);
  });
  const queues = createTurnQueues({ boss, pool, schema });
  for (const name of pools) await boss.ensureQueue(name);
  const beats = setInterval(() => {
    beating ??= beat().finally(() => {
      beating = null;
    });
  }, BEAT_MS);

  return {
    async offer(turns) {
      if (isClosed || turns.length === 0) return;
      await trying(
        () => queues.fileNow(turns),
        () => keep(turns),
      );
    },

    async offerIn(executeSql, turns) {
      if (isClosed || turns.length === 0) return;
      await executeSql('savepoint sheaf_turns', []);
      try {
        await queues.file(executeSql, turns);
      } catch (error) {
        await executeSql('rollback to savepoint sheaf_turns', []);
        keep(turns);
        trouble(error);
      }
      await executeSql('release savepoint sheaf_turns', []);
    },

    take(signal) {
      if (isClosed || signal.aborted) return Promise.resolve(null);
      return new Promise((resolve) => {
        const taker = (answer: Turn | null) => {
          takers.delete(taker);
          signal.removeEventListener('abort', onAbort);
          if (takers.size === 0) stopPolling();
          resolve(answer);
        };
        const onAbort = () => taker(null);
        signal.addEventListener('abort', onAbort, { once: true });
        takers.add(taker);
        feed();
      });
    },

    async handBack(turn) {
      const taken = inHand.get(turn);
      if (taken === undefined) return { again: false };
      inHand.delete(turn);
      // Not known means: look. Ended it is by the next beat.
      const answer = await trying(
        () => queues.end(taken),
        () => void unended.add(taken),
      );
      return answer ?? { again: true };
    },

    hasWaiting(least = Number.NEGATIVE_INFINITY) {
      const age = performance.now() - lookedAt;
      if (!isClosed && age >= LOOK_MS) void look();
      return age < STALE_MS && best !== null && best >= least;
    },

    async close() {
      if (isClosed) return;
      isClosed = true;
      clearInterval(beats);
      stopPolling();
      for (const taker of takers) taker(null);
      await beating;
      await feeding;
      // What is still in hand others may have at once.
      for (const taken of [...inHand.values(), ...unended]) if (!isTroubled) await giveBack(taken);
      best = null;
      await boss.close();
      await pool.end();
    },
  };

  function feed(): void {
    isDue = true;
    feeding ??= serveTakers().finally(() => {
      feeding = null;
      // A taker that came in the very moment of the end.
      if (isDue && takers.size > 0 && !isClosed) feed();
    });
  }

  async function serveTakers(): Promise<void> {
    while (takers.size > 0 && isDue && !isClosed) {
      isDue = false;
      const taken = await fetch(takers.size);
      for (const each of taken) await serve(each);
      // More may wait than were taken, for those who came meanwhile.
      if (taken.length > 0) isDue = true;
    }
    if (takers.size > 0 && !isClosed) poll ??= setTimeout(onPoll, pollMs);
  }

  function onPoll(): void {
    poll = null;
    feed();
  }

  function stopPolling(): void {
    if (poll !== null) clearTimeout(poll);
    poll = null;
  }

  /** From one pool after the other; each time another one is the first. */
  async function fetch(count: number): Promise<Taken[]> {
    const all: Taken[] = [];
    nextPool++;
    for (let i = 0; i < pools.length && all.length < count; i++) {
      const name = pools[(nextPool + i) % pools.length] ?? DEFAULT_POOL;
      all.push(...((await trying(() => queues.fetch(name, count - all.length))) ?? []));
    }
    return all;
  }

  async function serve(taken: Taken): Promise<void> {
    const [taker] = takers;
    if (taker === undefined || isClosed) return giveBack(taken);
    inHand.set(taken.turn, taken);
    taker(taken.turn);
  }

  async function giveBack(taken: Taken): Promise<void> {
    inHand.delete(taken.turn);
    unended.delete(taken);
    await trying(
      async () => {
        await queues.end(taken);
        await queues.fileNow([taken.turn]);
      },
      () => void unended.add(taken),
    );
  }

  async function look(): Promise<void> {
    lookedAt = performance.now();
    best = (await trying(() => queues.best(pools))) ?? null;
    if (isClosed) best = null;
  }

  /** Says that we live, ends turns of those who do not, and catches up with what failed. */
  async function beat(): Promise<void> {
    await trying(async () => {
      await queues.touch([...inHand.values()]);
      await queues.reap(SILENT_MS);
      isTroubled = false;
    });
    const turns = [...later.values()];
    if (isTroubled || (turns.length === 0 && unended.size === 0)) return;
    later.clear();
    await trying(
      () => queues.fileNow(turns),
      () => keep(turns),
    );
    for (const taken of [...unended]) await giveBack(taken);
  }

  function keep(turns: readonly Turn[]): void {
    for (const turn of turns) {
      if (later.size < MAX_LATER) later.set(`${turn.pool}/${turn.batch_id}/${turn.n}`, turn);
    }
  }

  /** Undefined when it failed: then the cause is told, and mended where it can be. */
  async function trying<T>(work: () => Promise<T>, onFailed: () => void = () => {}): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      onFailed();
      trouble(error);
      return undefined;
    }
  }

  function trouble(error: unknown): void {
    if (isClosed) return;
    if (isMissing(error)) boss.repair().then(feed, () => {});
    if (isTroubled) return;
    isTroubled = true;
    onError(new SheafError('store_unavailable', 'Turns cannot be offered or taken for now.', {}, error));
  }
}

/** Whether tables or queues may be missing: the database says so by a class of codes, pg-boss without any. */
function isMissing(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return true;
  return typeof error.code !== 'string' || error.code.startsWith('42') || error.code.startsWith('3F');
}
