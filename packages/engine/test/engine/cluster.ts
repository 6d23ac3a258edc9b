import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Batch } from '@sheaf/protocol';
import { expect, type TestContext } from 'vitest';
import { createEngine } from '../../src/engine.ts';
import { type TemporaryPostgres, until } from '../../src/testing/index.ts';
import { type Entry, type Host, readLedger, startHost } from './hosted.ts';
import { numbered } from './world.ts';

const LIMIT_MS = 90_000;
const PAGE = 1_000;

/** Processes that work on one database, and one batch they work on. */
export type Cluster = Awaited<ReturnType<typeof openCluster>>;

/**
 * @param options.count Items of the batch.
 * @param context Of the test; several may run at once.
 */
export async function openCluster(
  postgres: TemporaryPostgres,
  { count, wait_ms }: { count: number; wait_ms: number },
  { onTestFinished }: Pick<TestContext, 'onTestFinished'>,
) {
  const folder = mkdtempSync(join(tmpdir(), 'sheaf-cluster-'));
  const ledger = join(folder, 'ledger.ndjson');
  const database = await postgres.database();
  const hosts: Host[] = [];
  onTestFinished(async () => {
    for (const host of hosts) await host.kill();
    rmSync(folder, { recursive: true, force: true });
  });
  const engineOptions = (name: string, url: string) => ({
    data_dir: join(folder, name),
    files: join(folder, 'files'),
    database: url,
  });
  const read = async () => {
    const [row] = await postgres.sql('select status, completed_items as done from sheaf.batch', [], database);
    return { status: String(row?.status), done: Number(row?.done ?? 0) };
  };
  const wait = (what: string, condition: () => boolean | Promise<boolean>) => {
    // Each look reads the whole ledger, or asks the database.
    const unhurried = async () => {
      await setTimeout(250);
      return condition();
    };
    return until(what, unhurried, { limit_ms: LIMIT_MS });
  };

  const cluster = {
    database,
    read,
    wait,
    /** @param url Where this process finds the database. */
    start(url = database): Host {
      const engine = { ...engineOptions(`host-${hosts.length}`, url), concurrency: 4 };
      const host = startHost({ ledger, processors: ['ledger'], stay: true, engine });
      hosts.push(host);
      return host;
    },
    /** Makes the batch, and waits until every process works on it. */
    async begin(): Promise<void> {
      await Promise.all(hosts.map((host) => host.said('ready')));
      const concurrency = 4 * hosts.length;
      const maker = startHost({
        ledger,
        processors: ['ledger'],
        engine: { ...engineOptions('maker', database), work: false },
        make: { processor: 'ledger', items: numbered(count), concurrency, config: { wait_ms } },
      });
      await maker.said('made');
      await maker.kill();
      const working = () => new Set(cluster.entries().map(({ pid }) => pid));
      await wait('all work', () => working().size === hosts.length);
    },
    entries: () => readLedger(ledger),
    /** What a process did after a time. */
    workOf: ({ pid }: Host, after: number) =>
      cluster.entries().filter((entry) => entry.pid === pid && (entry.at ?? 0) > after),
    /** Items that were run more than once, by whom, in order. */
    runTwice(): { seq: number; pids: number[] }[] {
      const runs = Map.groupBy(cluster.entries(), ({ seq }) => seq);
      return [...runs]
        .map(([seq, entries]) => ({ seq, pids: entries.map(({ pid }) => pid ?? 0) }))
        .filter(({ pids }) => pids.length > 1);
    },
    /** Some time passes: a fault has to last for it. */
    passes: (ms: number, since: number) => wait(`${ms} ms have passed`, () => Date.now() - since > ms),
    /**
     * Waits for the end: each item is recorded once, with a result of a run that happened, and
     * nothing contradicts itself. Answers whose result each item has.
     */
    async endsWell(): Promise<Map<number, number>> {
      await wait('the batch is completed', async () => (await read()).status === 'completed');
      const pids = new Map(cluster.entries().map((entry: Entry) => [entry.nonce, entry.pid ?? 0]));
      const recorded = new Map<number, number>();
      const nonces = new Set<string>();
      const engine = await createEngine({ ...engineOptions('look', database), work: false });
      const [batch] = (await engine.list({ limit: 1, offset: 0 })).data as [Batch];
      for (let after = 0; after < count; after += PAGE) {
        const { data } = await engine.items({ batch_id: batch.id, after, limit: PAGE });
        for (const { seq, result } of data) {
          // The processor's own result.
          const { nonce } = result as { nonce: string };
          nonces.add(nonce);
          recorded.set(seq, pids.get(nonce) ?? 0);
        }
      }
      expect(recorded.size).toBe(count);
      expect([...recorded].filter(([, pid]) => pid === 0)).toEqual([]);
      expect(nonces.size).toBe(count);
      expect(batch).toMatchObject({ total_items: count, completed_items: count, failed_items: 0 });
      expect(await engine.checkInvariants()).toEqual([]);
      await engine.close();
      return recorded;
    },
  };
  return cluster;
}
