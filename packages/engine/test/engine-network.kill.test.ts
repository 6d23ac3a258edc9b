import { describe, expect, it, type TestContext } from 'vitest';
import { describePostgres, type PostgresProxy, startPostgresProxy } from '../src/testing/index.ts';
import { type Cluster, openCluster } from './engine/cluster.ts';
import type { Host } from './engine/hosted.ts';

/** A lease that nobody renews is taken away after six seconds. */
const LEASE_MS = 6_000;
/** Longer than that. */
const FAULT_MS = 8_000;
/** One worker alone takes forty seconds for it: time enough for the other one to come back. */
const BATCH = { count: 2_000, wait_ms: 80 };

// Waiting is nearly all they do, so two wait together.
describePostgres('a cluster whose network fails', (postgres) => {
  describe('and says so, or hears nothing', () => {
    it.concurrent('waits while nobody can reach the database, and goes on when all can again', async (context) => {
      const proxy = await openProxy(context);
      const cluster = await openCluster(postgres, { ...BATCH, wait_ms: 40 }, context);
      for (let hosts = 0; hosts < 2; hosts++) cluster.start(proxy.through(cluster.database));
      await cluster.begin();
      await proxy.refuse();
      await cluster.passes(FAULT_MS, Date.now());
      const { done } = await cluster.read();
      const backAt = Date.now();
      await proxy.accept();
      await cluster.wait('results are recorded again', async () => (await cluster.read()).done > done);
      say('refused', `recorded again ${Date.now() - backAt} ms after the database can be reached`);
      await cluster.endsWell();
    });

    it.concurrent('counts once what the database has done and nobody has heard of', async (context) => {
      const { cluster, proxy, worker } = await openCutOff(context);
      const silentAt = Date.now();
      proxy.silence('answers');
      await takenOver(cluster, 'no answers', silentAt);
      await cluster.passes(FAULT_MS, silentAt);
      proxy.speak('never');
      await comesBack(cluster, 'no answers', worker);
      await cluster.endsWell();
    });
  });

  describe('and falls silent between one of two workers and the database', () => {
    it.concurrent.for(['late', 'never'] as const)(
      'lets the other one take over, and refuses what was said meanwhile (it arrives %s)',
      async (held, context) => {
        const { cluster, proxy, worker } = await openCutOff(context);
        const silentAt = Date.now();
        proxy.silence('all');
        await takenOver(cluster, `silence, ${held}`, silentAt);
        await cluster.passes(FAULT_MS, silentAt);
        // It may start items for a second after the last answer; these take no time.
        expect(cluster.workOf(worker, silentAt + LEASE_MS)).toEqual([]);
        proxy.speak(held);
        await comesBack(cluster, `silence, ${held}`, worker);
        const recorded = await cluster.endsWell();
        // What both have run counts for the one that took it over.
        const twice = cluster.runTwice().filter(({ pids: [first] }) => first === worker.pid);
        expect(twice.length).toBeGreaterThan(0);
        for (const { seq, pids } of twice) expect(recorded.get(seq)).toBe(pids.at(-1));
      },
    );
  });

  async function openProxy(context: TestContext): Promise<PostgresProxy> {
    const proxy = await startPostgresProxy(postgres.url);
    context.onTestFinished(() => proxy.close());
    return proxy;
  }

  /** Two workers at work, of which one can be cut off. */
  async function openCutOff(
    context: TestContext,
  ): Promise<{ cluster: Cluster; proxy: PostgresProxy; worker: Host }> {
    const proxy = await openProxy(context);
    const cluster = await openCluster(postgres, BATCH, context);
    cluster.start();
    const worker = cluster.start(proxy.through(cluster.database));
    await cluster.begin();
    // Past its first lease it has more in hand than it runs, so that a silence always finds it at work.
    await cluster.wait('it is well under way', () => cluster.workOf(worker, 0).length > 20);
    return { cluster, proxy, worker };
  }

  async function takenOver(cluster: Cluster, name: string, silentAt: number): Promise<void> {
    await cluster.wait('what one has run is run by the other', () => cluster.runTwice().length > 0);
    say(name, `taken over ${Date.now() - silentAt} ms after the network fell silent`);
  }

  async function comesBack(cluster: Cluster, name: string, worker: Host): Promise<void> {
    const backAt = Date.now();
    const works = () => cluster.workOf(worker, backAt).length > 0;
    const isOver = async () => (await cluster.read()).status === 'completed';
    await cluster.wait('it works again', async () => works() || (await isOver()));
    expect(works(), `it was idle to the end: ${worker.stderr()}`).toBe(true);
    say(name, `it works again ${Date.now() - backAt} ms after the silence`);
  }
});

function say(name: string, what: string): void {
  console.info(`network (${name}): ${what}`);
}
