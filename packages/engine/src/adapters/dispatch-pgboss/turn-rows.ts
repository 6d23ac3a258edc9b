import type { Turn } from '../../ports/dispatch.ts';

/** The pool of a turn that names none. */
export const DEFAULT_POOL = 'default';

/** Turns of one batch that can be told apart in the order of going. */
const MOST_TURNS = 1_000_000;

/** What a job carries; its priority is in the job's own column, since that one can change. */
export type TurnData = { batch_id: string; n: number };

export function keyOf({ batch_id, n }: TurnData): string {
  return `${batch_id}:${n}`;
}

/**
 * The priority of a turn's job. Jobs go by priority, then by age; so that batches of one priority
 * take turns however many turns each of them offers, the second turns go behind all the first ones.
 */
export function jobPriority({ priority, n }: Turn): number {
  return priority * MOST_TURNS - Math.min(n, MOST_TURNS - 1);
}

/** The batch's priority, from that of its job. */
export function batchPriority(jobPriority: number): number {
  return Math.ceil(jobPriority / MOST_TURNS);
}

/**
 * The few statements that pg-boss has no call for, on its table of jobs. `state <= 'active'` is what
 * its policy `exclusive` goes by: created, retry and active jobs block their key.
 *
 * @param schema A checked name.
 */
export function turnStatements(schema: string) {
  const job = `${schema}.job`;
  return {
    /**
     * Locks the jobs of these keys until the transaction ends: nobody takes or ends them before what
     * it did can be seen. One in hand is marked, one that waits at another priority is filed anew.
     * Who looks meanwhile passes over those that wait, so he is called at the end ($4: the channel).
     * Locked in the order of keys, so that offers hardly ever wait for each other in a ring (one that
     * does is undone to its savepoint and made later); `skip locked` for a second look, which is no
     * longer in that order.
     */
    meet: ({ wait }: { wait: boolean }) => `
      with met as (
        select j.id, j.singleton_key, j.state, j.priority, o.priority as wanted
        from ${job} j join unnest($2::text[], $3::int[]) as o (key, priority)
          on coalesce(j.singleton_key, '') = o.key
        where j.name = $1 and j.state <= 'active' and j.policy = 'exclusive'
        order by j.singleton_key for update of j ${wait ? '' : 'skip locked'}
      ), changed as (
        update ${job} j set
          output = case when m.state = 'active' then '{"again":true}'::jsonb else j.output end,
          priority = case when m.state = 'active' then j.priority else m.wanted end,
          created_on = case when m.state = 'active' then j.created_on else now() end
        from met m where j.name = $1 and j.id = m.id and (m.state = 'active' or m.priority <> m.wanted)
      )
      select singleton_key as key,
        case when state < 'active' and $4::text is not null then pg_notify($4, $1) end
      from met`,
    /** Ends turns in hand. A turn leaves no history: its row goes, and nothing has to be cleaned up later. */
    end: `
      delete from ${job} where name = $1 and id = any($2::uuid[]) and state = 'active'
      returning id, output is not null as again`,
    /** Says that turns in hand are being worked on. Whoever offers one of them right now is not waited for. */
    touch: `
      update ${job} j set heartbeat_on = now() from (
        select name, id from ${job}
        where name = any($1::text[]) and id = any($2::uuid[]) and state = 'active'
        for update skip locked
      ) mine where j.name = mine.name and j.id = mine.id`,
    /** Ends the turns of whoever has not touched them for so many milliseconds. */
    reap: `
      with dead as (
        select name, id from ${job}
        where state = 'active' and heartbeat_on < now() - $1 * interval '1 ms' and policy = 'exclusive'
        order by singleton_key limit 1000 for update skip locked
      )
      delete from ${job} j using dead where j.name = dead.name and j.id = dead.id
      returning j.name as pool, j.data, j.priority`,
    best: `
      select max(priority) as best from ${job}
      where name = any($1::text[]) and state < 'active' and not blocked`,
    /** Whether pg-boss believes to be installed here although its tables are gone. */
    isBroken: `
      select to_regclass('${schema}.version') is not null
        and (to_regclass('${schema}.job') is null or to_regclass('${schema}.queue') is null) as broken`,
    drop: `drop schema if exists ${schema} cascade`,
  };
}
