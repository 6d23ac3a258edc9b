import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { createEngine } from '../src/engine.ts';
import { describePostgres, type TemporaryPostgres, until } from '../src/testing/index.ts';
import { createLedger } from './engine/ledger.ts';
import { canMount, mountSmallDisk, type SmallDisk } from './engine/small-disk.ts';
import { countsOf, numbered } from './engine/world.ts';

const MB = 1024 * 1024;
const COUNT = 300;

const mounts = canMount();
if (!mounts) console.warn('A full disk of PostgreSQL is not tested: this user may not mount a file system.');

describePostgres(
  'a database whose disk is full',
  (postgres) => {
    it.skipIf(!mounts)('holds the work up, says why, loses nothing, and goes on by itself', async () => {
      const disk = mountSmallDisk(200);
      const database = await databaseOn(disk, postgres);
      const folder = mkdtempSync(join(tmpdir(), 'sheaf-engine-'));
      const ledger = createLedger({ run: () => randomBytes(90_000).toString('base64') });
      const errors: unknown[] = [];
      const engine = await createEngine({
        data_dir: folder,
        database,
        concurrency: 4,
        processors: [ledger.processor],
        onError: (error) => errors.push(error),
      });
      onTestFinished(async () => {
        await engine.close({ drain_ms: 0 });
        rmSync(folder, { recursive: true, force: true });
      });
      disk.fill(12 * MB);
      const { batch } = await engine.create({
        processor: 'ledger',
        items: numbered(COUNT),
        max_attempts: 1,
        concurrency: 4,
      });
      const full = { code: 'storage_full', message: expect.stringContaining('disk of the database is full') };
      await until('somebody is told that the disk is full', () => errors.length > 0, { limit_ms: 60_000 });
      expect(errors[0]).toMatchObject(full);
      // What has run waits for room, and nothing new begins.
      await until('nothing runs', () => ledger.atWork === 0, { limit_ms: 30_000 });
      const { length: started } = ledger.starts;
      const seen = await engine.get({ batch_id: batch.id });
      expect(seen.failed_items).toBe(0);
      expect(seen.completed_items).toBeLessThan(COUNT);
      expect(started).toBeLessThan(COUNT);

      disk.empty();
      const ended = await engine.wait({ batch_id: batch.id, timeout_ms: 60_000 });
      expect(countsOf(ended)).toEqual({ status: 'completed', completed_items: COUNT });
      expect(ledger.starts.every(({ attempt }) => attempt === 1)).toBe(true);
      expect(await engine.checkInvariants()).toEqual([]);
      for (const error of errors) expect(error).toMatchObject({ code: 'storage_full' });
      console.info(`full disk: ${started} of ${COUNT} begun, ${errors.length} times said, all completed`);
    });
  },
  { own: true },
);

/**
 * A database with its tables on a small disk. Its log stays where it was: without room for that the
 * server itself ends.
 */
async function databaseOn(disk: SmallDisk, postgres: TemporaryPostgres): Promise<string> {
  const [row] = await postgres.sql('show data_directory');
  const { uid, gid } = statSync(dirname(String(row?.data_directory)));
  chmodSync(dirname(disk.folder), 0o755);
  chownSync(disk.folder, uid, gid);
  await postgres.sql(`create tablespace small location '${disk.folder}'`);
  await postgres.sql('create database on_small tablespace small');
  const url = new URL(postgres.url);
  url.pathname = '/on_small';
  return url.href;
}
