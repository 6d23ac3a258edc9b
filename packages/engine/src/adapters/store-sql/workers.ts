import type { Store } from '../../ports/store.ts';
import type { Db } from './dialect.ts';
import { parse } from './rows.ts';
import type { Session } from './session.ts';

/** A worker that does not beat for this long is dead: three beats of two seconds. */
export const WORKER_LIFE_MS = 6_000;

/** The dead are shown for this long. */
const SHOWN_MS = 3_600_000;

/** The part of the Store that knows who is alive. */
export function beating(session: Session): Pick<Store, 'beat' | 'workers' | 'leave'> {
  return {
    beat: (worker, now) =>
      session.write(async ({ db }) => {
        const row = {
          ...worker,
          pools: JSON.stringify(worker.pools),
          processors: JSON.stringify(worker.processors),
          seen_at: now,
        };
        const { boot: _boot, ...changed } = row;
        await db
          .insertInto('worker')
          .values(row)
          .onConflict((conflict) => conflict.column('boot').doUpdateSet(changed))
          .execute();
      }),

    workers: (now) =>
      session.read(async (db) => {
        const rows = await db
          .selectFrom('worker')
          .selectAll()
          .where('seen_at', '>=', now - SHOWN_MS)
          .orderBy('seen_at', 'desc')
          .limit(1_000)
          .execute();
        const workers = rows.map((row) => ({
          ...row,
          pools: parse<string[]>(row.pools),
          processors: parse<{ name: string; version: string }[]>(row.processors),
          is_alive: row.seen_at >= now - WORKER_LIFE_MS,
        }));
        const byAge = workers.sort((a, b) => a.started_at - b.started_at || (a.boot < b.boot ? -1 : 1));
        return [...byAge.filter((each) => each.is_alive), ...byAge.filter((each) => !each.is_alive)];
      }),

    leave: ({ boot }) =>
      session.write(async ({ db }) => {
        await db.deleteFrom('worker').where('boot', '=', boot).execute();
      }),
  };
}

/** The boots whose workers live. */
export async function livingBoots(db: Db, now: number): Promise<string[]> {
  const rows = await db
    .selectFrom('worker')
    .select('boot')
    .where('seen_at', '>=', now - WORKER_LIFE_MS)
    .execute();
  return rows.map((row) => row.boot);
}

/** Forgets dead workers: those nobody wants to see any more, or all but one that is alone now. */
export async function buryWorkers(
  db: Db,
  { boot, alone, now }: { boot: string; alone: boolean; now: number },
): Promise<void> {
  const dead = db.deleteFrom('worker').where('boot', '!=', boot);
  await (alone ? dead : dead.where('seen_at', '<', now - SHOWN_MS)).execute();
}
