import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createEngine } from '@sheaf/engine';
import { describePostgres, type TemporaryPostgres } from '@sheaf/engine/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makePlace, type Place, type Running, until } from './sheaf.ts';

const LEDGER = join(import.meta.dirname, '..', '..', '..', '..', 'scripts', 'torture', 'ledger-processor.ts');

type View = {
  id: string;
  status: string;
  completed_items: number;
  failed_items: number;
  running_items: number;
};
type Result = { start: string };

describePostgres(
  'a cluster of a server and workers',
  (postgres) => {
    let place: Place;
    let world: World;

    beforeEach(async () => {
      place = makePlace();
      world = await openWorld(place, await postgres.database(), postgres);
    });

    afterEach(() => place.close());

    it('lists who works, shares a batch between them, and says goodbye in peace', async () => {
      await world.up(1);
      const worker = await world.worker(1);
      const workers = await world.json<{ data: { running: number; pools: string[] }[] }>('worker', 'list');
      expect(workers.data).toHaveLength(2);
      expect(workers.data[0]?.pools).toEqual(['default']);
      const batch = await world.run({ count: 40, wait_ms: 20, concurrency: 2 });
      expect(await world.ended(batch)).toMatchObject({ status: 'completed', completed_items: 40 });
      const hosts = new Set(world.starts().map(({ host }) => host));
      expect(hosts.size).toBe(2);
      worker.kill('SIGTERM');
      expect((await worker.ended).code).toBe(0);
      const left = await world.json<{ data: unknown[] }>('worker', 'list');
      expect(left.data).toHaveLength(1);
      await world.addsUp(batch);
    });

    it('goes on within ten seconds when a worker is killed, and does no recorded item again', async () => {
      await world.up(1);
      const worker = await world.worker(4);
      const batch = await world.run({ count: 120, wait_ms: 100, concurrency: 5 });
      await world.untilDone(batch, 20);
      worker.kill('SIGKILL');
      await worker.ended;
      const recorded = new Set(
        (await world.sql(`select seq from sheaf.item where status = 'completed'`)).map(({ seq }) =>
          String(seq),
        ),
      );
      const unrecorded = world.startedItems().filter((seq) => !recorded.has(seq));
      expect(await world.ended(batch)).toMatchObject({ status: 'completed', completed_items: 120 });
      // Only what was begun and not recorded by then is begun once more.
      const started = world.startedItems();
      const twice = started.filter((seq, index) => started.indexOf(seq) !== index);
      expect(unrecorded).toEqual(expect.arrayContaining(twice));
      expect(new Set(twice).size).toBe(twice.length);
      await world.addsUp(batch);
    });

    it('refuses what a worker says that was stopped for longer than its lease', async () => {
      await world.up(1);
      const worker = await world.worker(4);
      const batch = await world.run({ count: 120, wait_ms: 100, concurrency: 5 });
      await world.untilDone(batch, 10);
      worker.kill('SIGSTOP');
      const ended = await world.ended(batch);
      worker.kill('SIGCONT');
      expect(ended).toMatchObject({ status: 'completed', completed_items: 120 });
      // It is one of us again, and takes nothing back.
      await until(
        async () => (await world.json<{ data: unknown[] }>('worker', 'list')).data.length === 2,
        worker.stderr,
      );
      await world.addsUp(batch);
    });

    it('waits for a database that crashes, and goes on when it is back', async () => {
      await world.up(2);
      await world.worker(2);
      const batch = await world.run({ count: 200, wait_ms: 50, concurrency: 4 });
      await world.untilDone(batch, 20);
      await postgres.stop();
      await postgres.start();
      expect(await world.ended(batch)).toMatchObject({ status: 'completed', completed_items: 200 });
      await world.addsUp(batch);
    });

    it('loses no item when its sessions are cut off and its turns are thrown away', async () => {
      await world.up(2);
      await world.worker(2);
      const batch = await world.run({ count: 200, wait_ms: 50, concurrency: 4 });
      await world.untilDone(batch, 20);
      await world.sql('drop schema sheaf_turns cascade');
      await postgres.terminate({ url: world.database });
      expect(await world.ended(batch)).toMatchObject({ status: 'completed', completed_items: 200 });
      await world.addsUp(batch);
    });

    it('is well, by its doctor, but for a database that tests let lie about its disk', async () => {
      const { stdout } = await place.sheaf(['doctor', '--json'], { env: { SHEAF_DATABASE: world.database } });
      const { checks } = JSON.parse(stdout) as { checks: { name: string; ok: boolean; fix?: string }[] };
      const named = new Map(checks.map((check) => [check.name, check]));
      expect(named.get('Database')).toMatchObject({ ok: false, fix: expect.stringContaining('fsync') });
      expect(named.get('Time')).toMatchObject({ ok: true });
      expect(named.get('Files')).toMatchObject({ ok: true });
    });

    it('leaves the work of a pool to the workers of that pool', async () => {
      const file = join(place.dir, 'heavy.ts');
      writeFileSync(file, "export const heavy = { name: 'heavy', pool: 'gpu', run: () => process.pid };\n");
      const joining = [
        '--database',
        world.database,
        '--files',
        join(place.data, 'files'),
        '--processor',
        file,
      ];
      await place.up(...joining);
      const made = await place.sheaf(['run', 'heavy', '-', '--detach'], { input: '{}\n{}\n{}\n' });
      expect(made.code).toBe(0);
      const ofOthers = await world.json<{ data: View[] }>('list');
      expect(ofOthers.data[0]).toMatchObject({ status: 'queued', completed_items: 0 });
      place.start(['worker', ...joining, '--pools', 'gpu']);
      const batch = ofOthers.data[0]?.id ?? '';
      expect(await world.ended(batch)).toMatchObject({ status: 'completed', completed_items: 3 });
    });

    describe('says what is wrong', () => {
      it('with a worker that has no database to join', async () => {
        const { code, stderr } = await place.sheaf(['worker']);
        expect(code).toBe(2);
        expect(stderr).toContain('hint: sheaf worker --database postgres://');
      });

      it('with a worker that does not see the files of the others', async () => {
        await world.up(1);
        const { code, stderr } = await place.sheaf([
          'worker',
          '--database',
          world.database,
          '--files',
          join(place.dir, 'elsewhere'),
        ]);
        expect(code).toBe(78);
        expect(stderr).toContain('elsewhere');
      });

      it('with a database that does not answer, and never shows its password', async () => {
        const url = 'postgres://sheaf:hunter2@127.0.0.1:9/none';
        const { code, stderr } = await place.sheaf(['worker', '--database', url]);
        expect(code).not.toBe(0);
        expect(stderr).not.toContain('hunter2');
      });
    });
  },
  { own: true },
);

/** A cluster on one database, whose items write each start into a ledger. */
type World = Awaited<ReturnType<typeof openWorld>>;

async function openWorld(place: Place, database: string, postgres: TemporaryPostgres) {
  const ledger = join(place.dir, 'ledger.txt');
  writeFileSync(ledger, '');
  const joining = ['--database', database, '--processor', LEDGER];
  const world = {
    database,
    up: (concurrency: number) => place.up(...joining, '--concurrency', String(concurrency)),
    async worker(concurrency: number): Promise<Running> {
      const files = join(place.data, 'files');
      const args = [...joining, '--files', files, '--concurrency', String(concurrency)];
      const worker = place.start(['worker', ...args]);
      await until(() => worker.stdout().includes('^C stops safely'), worker.stderr);
      return worker;
    },
    async json<T>(...args: string[]): Promise<T> {
      const { stdout, stderr, code } = await place.sheaf([...args, '--json']);
      if (code !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
      return JSON.parse(stdout) as T;
    },
    async run({ count, wait_ms, concurrency }: { count: number; wait_ms: number; concurrency: number }) {
      const input = JSON.stringify({ input: { ledger, wait_ms, mood: 'well', output: false } });
      const made = await place.sheaf(
        ['run', 'torture.ledger', '-', '--concurrency', String(concurrency), '--detach', '--json'],
        { input: `${input}\n`.repeat(count) },
      );
      if (made.code !== 0) throw new Error(made.stderr);
      return (await world.json<{ data: View[] }>('list')).data[0]?.id ?? '';
    },
    view: (batch: string) => world.json<View>('status', batch),
    untilDone: (batch: string, count: number) =>
      until(
        async () => (await world.view(batch)).completed_items >= count,
        () => `fewer than ${count} items are done`,
      ),
    async ended(batch: string): Promise<View> {
      let last: View | null = null;
      const look = async () => {
        // While the database is away the server says so; that is no end.
        last = await world.view(batch).catch(() => last);
        return last !== null && !['queued', 'running'].includes(last.status);
      };
      await until(look, () => last, 60_000);
      return await world.view(batch);
    },
    starts: () =>
      readFileSync(ledger, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => {
          const [item, start, host] = line.split(' ');
          return { item, start, host };
        }),
    /** The number of the item of each start, in the order of the starts. */
    startedItems: () => world.starts().map(({ item }) => item?.split('/')[1] ?? ''),
    sql: (text: string) => postgres.sql(text, [], database),
    /** Every recorded result is of a start that happened, and the Store contradicts itself nowhere. */
    async addsUp(batch: string): Promise<void> {
      const started = new Set(world.starts().map(({ start }) => start));
      const engine = await createEngine({
        data_dir: join(place.dir, 'look'),
        database,
        files: join(place.data, 'files'),
        work: false,
      });
      const { data: items } = await engine.items({ batch_id: batch, after: 0, limit: 1_000 });
      expect(items.filter(({ status }) => status !== 'completed')).toEqual([]);
      // The processor's own result: the name of its start.
      for (const { result } of items) expect(started).toContain((result as Result | null)?.start);
      expect(new Set(items.map(({ result }) => (result as Result | null)?.start)).size).toBe(items.length);
      expect(await engine.checkInvariants()).toEqual([]);
      await engine.close();
    },
  };
  return world;
}
