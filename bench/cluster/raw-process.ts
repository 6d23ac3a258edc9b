/** A worker of the barest program: a `pg` connection and a loop. */
import pg from 'pg';
import { doNothing, IN_FLIGHT, type Input } from '../nothing.ts';
import type { Program } from './program.ts';
import { fillRaw, makeRawTables } from './raw-database.ts';
import { moment, serve } from './remote.ts';

/** Items leased at a time. */
const CHUNK = 500;

type Leased = { seq: string; input: string };
type Outcomes = { seqs: string[]; results: string[]; started: number[]; durations: number[] };

/**
 * One statement, so one transaction and one round trip a chunk: it writes what the handlers made,
 * counts it, leases the next range and reads it. The counters come last: their row is everybody's.
 */
const STEP = `
  with written as (
    update item set status = 'completed', attempt = 1, config_no = 1, result = given.result,
      started_at = given.started_at, duration_ms = given.duration_ms, finished_at = $5::int8
    from unnest($1::int8[], $2::text[], $3::int8[], $4::int8[])
      as given (seq, result, started_at, duration_ms)
    where item.batch_no = 1 and item.seq = given.seq and item.status is null
    returning 1
  ), leased as (
    update batch set completed_items = completed_items + (select count(*) from written),
      next_seq = next_seq + ${CHUNK}
    where no = 1 returning next_seq
  )
  select seq, input from item, leased
  where batch_no = 1 and seq >= next_seq - ${CHUNK} and seq < next_seq and status is null`;

let client: pg.Client | null = null;

const program: Program = {
  async open({ url }) {
    client = new pg.Client({ connectionString: url });
    await client.connect();
    await makeRawTables(client);
  },
  async fill({ size }) {
    const from = moment();
    await fillRaw(connection(), size);
    return { from, to: moment() };
  },
  async drain() {
    const from = moment();
    let done = 0;
    let leased = await step({ seqs: [], results: [], started: [], durations: [] });
    while (leased.length > 0) {
      done += leased.length;
      leased = await step(await runAll(leased));
    }
    return { from, to: moment(), done };
  },
};

serve(program);

async function step({ seqs, results, started, durations }: Outcomes): Promise<Leased[]> {
  const values = [seqs, results, started, durations, Date.now()];
  return (await connection().query<Leased>({ name: 'step', text: STEP, values })).rows;
}

async function runAll(leased: readonly Leased[]): Promise<Outcomes> {
  const outcomes: Outcomes = { seqs: [], results: [], started: [], durations: [] };
  let next = 0;
  await Promise.all(
    Array.from({ length: IN_FLIGHT }, async () => {
      for (let item = leased[next++]; item !== undefined; item = leased[next++]) {
        const startedAt = Date.now();
        const from = performance.now();
        const result = JSON.stringify(await doNothing(JSON.parse(item.input) as Input));
        outcomes.durations.push(Math.round(performance.now() - from));
        outcomes.seqs.push(item.seq);
        outcomes.results.push(result);
        outcomes.started.push(startedAt);
      }
    }),
  );
  return outcomes;
}

function connection(): pg.Client {
  if (client === null) throw new Error('Open comes first.');
  return client;
}
