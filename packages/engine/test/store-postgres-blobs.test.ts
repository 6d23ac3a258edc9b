import pg from 'pg';
import { afterAll, beforeAll, expect } from 'vitest';
import { openPostgresStore } from '../src/adapters/store-sql/postgres.ts';
import type { BlobRef } from '../src/ports/files.ts';
import type { FileRow, Store } from '../src/ports/store.ts';
import { refused, type Scene, storeTest } from '../src/testing/contracts/store/scene.ts';
import { emptyPostgres } from '../src/testing/empty-postgres.ts';
import { makeFile, makeItem, until } from '../src/testing/index.ts';
import { describePostgres } from '../src/testing/temporary-postgres.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

describePostgres('bytes that two sessions name and remove', (postgres) => {
  let store: Store;
  let other: Store;
  beforeAll(async () => {
    store = await openPostgresStore({ url: postgres.url });
    other = await openPostgresStore({ url: postgres.url });
  });
  afterAll(async () => {
    await store.close();
    await other.close();
  });

  const test = storeTest(async () => ({ ...store, close: () => emptyPostgres(postgres) }));

  /** A transaction of somebody else, which stands still until it is told how to end. */
  async function during<T>(
    statements: readonly [text: string, values: readonly unknown[]][],
    work: (end: (how: 'commit' | 'rollback') => Promise<unknown>) => Promise<T>,
  ): Promise<T> {
    const client = new pg.Client({ connectionString: postgres.url });
    await client.connect();
    try {
      await client.query('set search_path to sheaf');
      await client.query('begin');
      for (const [text, values] of statements) await client.query(text, [...values]);
      return await work((how) => client.query(how));
    } finally {
      await client.end();
    }
  }

  async function isWaiting(): Promise<boolean> {
    const [row] = await postgres.sql(
      `select count(*)::int as count from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
    );
    return Number(row?.count) > 0;
  }

  const claim = (where: Store, { clock }: Scene, limit = 100): Promise<BlobRef[]> =>
    where.claimDoomed({ now: clock.now(), doomed_before: clock.now(), limit });

  async function prune({ clock }: Scene): Promise<void> {
    while ((await store.prune({ now: clock.now(), limit: 100 })).removed > 0);
  }

  async function doom(scene: Scene, ...texts: string[]): Promise<FileRow[]> {
    const files = texts.map((text) => makeFile(text, { created_at: scene.clock.now() - DAY_MS - 1 }));
    for (const file of files) await store.addFile(file);
    await prune(scene);
    return files;
  }

  const insertFile = ({ id, space, sha256, name, bytes, media_type, created_at }: FileRow) =>
    [
      `insert into file (id, space, sha256, name, bytes, media_type, created_at) values ($1, $2, $3, $4, $5, $6, $7)`,
      [id, space, sha256, name, bytes, media_type, created_at],
    ] as [string, unknown[]];

  test('a naming waits for a claim, and is refused when it comes true', async (scene) => {
    await doom(scene, 'a');
    const claiming: [string, unknown[]] = ['update doomed_blob set claimed_at = $1', [scene.clock.now()]];
    await during([claiming], async (end) => {
      const naming = refused(store.addFile(makeFile('a')), 'bytes_doomed');
      await until('it waits for the row', isWaiting);
      await end('commit');
      expect((await naming).details).toMatchObject({ claimed: [{ space: 'default' }], removed: [] });
    });
  });

  test('a naming waits for a claim, and goes on when it does not', async (scene) => {
    await doom(scene, 'a');
    const claiming: [string, unknown[]] = ['update doomed_blob set claimed_at = $1', [scene.clock.now()]];
    await during([claiming], async (end) => {
      const naming = store.addFile(makeFile('a'));
      await until('it waits for the row', isWaiting);
      await end('rollback');
      await naming;
    });
    expect(await claim(other, scene)).toEqual([]);
  });

  test('a claim leaves alone what somebody names just now', async (scene) => {
    const [file, beside] = await doom(scene, 'a', 'b');
    const named = makeFile('a', { created_at: scene.clock.now() });
    const naming: [string, unknown[]][] = [
      ['select 1 from doomed_blob where sha256 = $1 for update', [file?.sha256]],
      insertFile(named),
      ['delete from doomed_blob where sha256 = $1', [file?.sha256]],
    ];
    await during(naming, async (end) => {
      expect(await claim(store, scene)).toEqual([{ space: 'default', sha256: beside?.sha256 }]);
      await end('commit');
    });
    expect(await claim(store, scene)).toEqual([]);
  });

  test('bytes that were named while they were doomed are kept', async (scene) => {
    const file = makeFile('a', { created_at: scene.clock.now() - DAY_MS - 1 });
    await store.addFile(file);
    const named = makeFile('a', { created_at: scene.clock.now() });
    await during([insertFile(named)], async (end) => {
      // Neither sees the other.
      await prune(scene);
      await end('commit');
    });
    expect(await postgres.sql('select sha256 from sheaf.doomed_blob')).toHaveLength(1);
    scene.clock.advance(HOUR_MS);
    expect(await claim(store, scene)).toEqual([]);
    expect(await postgres.sql('select sha256 from sheaf.doomed_blob')).toHaveLength(0);
  });

  test('two that prune at once forget no bytes', async (scene) => {
    const { draft, act, clock } = scene;
    const files = [makeFile('a'), makeFile('a')];
    for (const file of files) {
      await store.addFile(file);
      await store.delete(act(await draft({ items: [makeItem({ file_id: file.id })] })));
    }
    const holding: [string, unknown[]] = ['select 1 from item order by batch_no for update', []];
    await during([holding], async (end) => {
      const pruning = store.prune({ now: clock.now(), limit: 100 });
      await until('it waits for the items', isWaiting);
      expect(await other.prune({ now: clock.now(), limit: 100 })).toEqual({ removed: 0 });
      await end('commit');
      expect(await pruning).toEqual({ removed: 1 });
    });
    await prune(scene);
    expect(await claim(store, scene)).toHaveLength(1);
  });

  test('an upload that an item names just now is no unused one', async (scene) => {
    const { draft, act, clock } = scene;
    const batch = await draft({ items: 1 });
    const [unused, used] = [makeFile('unused'), makeFile('used')];
    for (const file of [unused, used]) {
      await store.addFile({ ...file, created_at: clock.now() - DAY_MS - 1 });
    }
    const gone = await draft({ items: [makeItem({ file_id: used.id })] });
    await store.delete(act(gone));
    const ranges = 'select 1 from range where batch_no = (select no from batch where id = $1) for update';
    const holding: [string, unknown[]] = [ranges, [batch.id]];
    await during([holding], async (end) => {
      const items = [makeItem({ file_id: unused.id }), makeItem({ file_id: used.id })];
      const appending = store.append(act(batch), items);
      await until('it waits for the ranges', isWaiting);
      for (let slice = 0; slice < 4; slice++) await other.prune({ now: clock.now(), limit: 100 });
      await end('commit');
      await appending;
    });
    for (const file of [unused, used]) {
      expect(await store.file({ space: 'default', file_id: file.id })).toMatchObject({ id: file.id });
    }
  });

  test('an item that names an upload which goes just now is refused', async (scene) => {
    const { draft, act } = scene;
    const batch = await draft({ items: 1 });
    const file = makeFile('a');
    await store.addFile(file);
    await during([['delete from file where id = $1', [file.id]]], async (end) => {
      const appending = refused(store.append(act(batch), [makeItem({ file_id: file.id })]), 'invalid');
      await until('it waits for the file', isWaiting);
      await end('commit');
      await appending;
    });
  });

  test('many that claim at once never claim the same bytes', async (scene) => {
    await doom(scene, ...Array.from({ length: 60 }, (_, index) => `picture ${index}`));
    const claimed: BlobRef[] = [];
    for (let round = 0; claimed.length < 60 && round < 100; round++) {
      const claims = Array.from({ length: 8 }, (_, index) => claim(index % 2 ? store : other, scene, 3));
      claimed.push(...(await Promise.all(claims)).flat());
    }
    expect(new Set(claimed.map(({ sha256 }) => sha256)).size).toBe(60);
    expect(claimed).toHaveLength(60);
  });
});
