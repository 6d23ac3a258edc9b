import type { DatabaseSync } from 'node:sqlite';
import { insertItems, openBareDatabase } from '../bare-database.ts';
import { type Bench, shareLine } from '../bench.ts';
import { doNothing, IN_FLIGHT, type Input, inputOf } from '../nothing.ts';
import { fill, noop, openEngine, secondsToComplete } from '../work.ts';

/** Items the bare loop leases and records in one transaction. */
const CHUNK = 500;

/** What the engine itself costs: work that takes no time, every result kept, every commit synced. */
export const noopBench: Bench = {
  name: 'noop',
  about: 'items that do nothing, results recorded',
  size: { full: 1_000_000, quick: 100_000 },
  rounds: { full: 3, quick: 2 },
  sides: {
    async raw({ size, folder }) {
      const database = openBareDatabase(folder);
      insertItems(database, inputs(size));
      const from = performance.now();
      await drainBare(database);
      return {
        rate: size / ((performance.now() - from) / 1000),
        rss_bytes: process.resourceUsage().maxRSS * 1024,
      };
    },
    ours: drainOurs,
  },
  judge: (median) => [
    shareLine({
      label: 'noop',
      ours: median('ours', 'rate'),
      other: { name: 'raw', rate: median('raw', 'rate') },
      floor_percent: 60,
    }),
  ],
};

export async function drainOurs({ size, folder }: { size: number; folder: string }) {
  const engine = await openEngine(folder, [noop]);
  const seconds = await secondsToComplete(engine, await fill(engine, noop.name, size));
  await engine.close();
  return { rate: size / seconds, rss_bytes: process.resourceUsage().maxRSS * 1024 };
}

export function* inputs(size: number): Generator<string> {
  for (let n = 1; n <= size; n += 1) yield JSON.stringify(inputOf(n));
}

type Leased = { seq: number; input: string };
type Result = { seq: number; result: string; started_at: number; duration_ms: number };

/**
 * The best plain loop: one transaction writes the results of a chunk, counts them and leases the next
 * one; in between the handlers run, sixteen in flight.
 *
 * @param oneIn Of so many rows one is left to do: then a chunk reaches over as many more. @default 1
 */
export async function drainBare(database: DatabaseSync, oneIn = 1): Promise<void> {
  const stretch = CHUNK * oneIn;
  const lease = database.prepare(`update batch set next_seq = min(next_seq + ${stretch}, total_items + 1)
    where no = 1 returning next_seq`);
  const read = database.prepare(
    'select seq, input from item where batch_no = 1 and seq >= ? and seq < ? and status is null',
  );
  const write =
    database.prepare(`update item set status = 'completed', attempt = 1, config_no = 1, result = ?,
    started_at = ?, duration_ms = ?, finished_at = ? where batch_no = 1 and seq = ? and status is null`);
  const count = database.prepare('update batch set completed_items = completed_items + ? where no = 1');
  let first = 1;
  let results: Result[] = [];
  for (;;) {
    database.exec('begin immediate');
    const now = Date.now();
    let written = 0;
    for (const { seq, result, started_at, duration_ms } of results) {
      written += Number(write.run(result, started_at, duration_ms, now, seq).changes);
    }
    if (written > 0) count.run(written);
    const next = Number(lease.get()?.next_seq);
    // The columns are those of the statement.
    const leased = read.all(first, next) as unknown as Leased[];
    database.exec('commit');
    if (leased.length === 0) return;
    first = next;
    results = await runAll(leased);
  }
}

async function runAll(leased: readonly Leased[]): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: IN_FLIGHT }, async () => {
      for (let item = leased[next++]; item !== undefined; item = leased[next++]) {
        const startedAt = Date.now();
        const from = performance.now();
        const result = JSON.stringify(await doNothing(JSON.parse(item.input) as Input));
        const duration = Math.round(performance.now() - from);
        results.push({ seq: item.seq, result, started_at: startedAt, duration_ms: duration });
      }
    }),
  );
  return results;
}
