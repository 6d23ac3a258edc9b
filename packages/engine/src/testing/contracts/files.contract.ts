import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { link, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { errorCode } from '@sheaf/protocol';
import { describe, expect, test } from 'vitest';
import type { Files, StoredBytes } from '../../ports/files.ts';

const SPACE = 'default';

/**
 * Everything a Files adapter promises.
 *
 * @param open Opens empty storage; `close` removes it.
 */
export function filesContract(
  name: string,
  open: () => Promise<{ files: Files; close: () => Promise<void> }>,
): void {
  function filesTest(title: string, body: (files: Files, folder: string) => Promise<void>): void {
    test(title, async () => {
      const { files, close } = await open();
      const folder = await mkdtemp(join(tmpdir(), 'sheaf-files-'));
      try {
        await body(files, folder);
      } finally {
        await close();
        await rm(folder, { recursive: true, force: true });
      }
    });
  }

  describe(`Files: ${name}`, () => {
    filesTest('gives back what was put, byte for byte, under its sha256', async (files) => {
      const bytes = randomBytes(3_000_000);
      const stored = await files.put(
        SPACE,
        Readable.from([bytes.subarray(0, 70_000), bytes.subarray(70_000)]),
      );
      expect(stored).toEqual({ sha256: sha256(bytes), bytes: bytes.length });
      expect(await files.size(SPACE, stored.sha256)).toBe(bytes.length);
      expect((await read(files, stored.sha256)).equals(bytes)).toBe(true);
    });

    filesTest('keeps an empty file', async (files) => {
      const stored = await files.put(SPACE, Readable.from([]));
      expect(stored).toEqual({ sha256: sha256(Buffer.alloc(0)), bytes: 0 });
      expect(await read(files, stored.sha256)).toHaveLength(0);
    });

    filesTest('reads a range with both ends in it', async (files) => {
      const { sha256: id } = await files.put(SPACE, Readable.from([Buffer.from('0123456789')]));
      expect((await read(files, id, { start: 2, end: 4 })).toString()).toBe('234');
      expect((await read(files, id, { start: 0, end: 0 })).toString()).toBe('0');
      expect((await read(files, id, { start: 9, end: 9 })).toString()).toBe('9');
    });

    filesTest('reads what there is of a range that goes past the end', async (files) => {
      const { sha256: id } = await files.put(SPACE, Readable.from([Buffer.from('0123456789')]));
      expect((await read(files, id, { start: 8, end: 100 })).toString()).toBe('89');
      expect(await read(files, id, { start: 10, end: 100 })).toHaveLength(0);
    });

    filesTest(
      'keeps what is larger than one write, whether it streams in or is taken over',
      async (files, folder) => {
        const bytes = randomBytes(17_000_000);
        const path = join(folder, 'large');
        await writeFile(path, bytes.subarray(1));
        const put = await files.put(SPACE, Readable.from(slices(bytes, 1_000_000)));
        expect(put).toEqual({ sha256: sha256(bytes), bytes: bytes.length });
        expect((await read(files, put.sha256)).equals(bytes)).toBe(true);
        const adopted = await files.adopt(SPACE, path);
        expect(adopted).toEqual({ sha256: sha256(bytes.subarray(1)), bytes: bytes.length - 1 });
        const end = await read(files, adopted.sha256, { start: 16_900_000, end: 16_999_998 });
        expect(end.equals(bytes.subarray(16_900_001))).toBe(true);
      },
    );

    filesTest('ends the source when it refuses', async (files) => {
      const endless = new Readable({
        read() {
          this.push(Buffer.alloc(1_000));
        },
      });
      await caught(files.put(SPACE, endless, { max_bytes: 5_000 }));
      expect(endless.destroyed).toBe(true);
    });

    filesTest('stores equal bytes once, also when they come at the same time', async (files) => {
      const puts = Array.from({ length: 12 }, () => files.put(SPACE, Readable.from([Buffer.from('same')])));
      const stored = await Promise.all(puts);
      expect(new Set(stored.map((each) => each.sha256)).size).toBe(1);
      expect(await listed(files, SPACE)).toEqual([{ sha256: sha256(Buffer.from('same')), bytes: 4 }]);
    });

    filesTest('refuses a stream past max_bytes and leaves nothing', async (files) => {
      const problem = await caught(
        files.put(SPACE, Readable.from([Buffer.alloc(600), Buffer.alloc(600)]), { max_bytes: 1_000 }),
      );
      expect(errorCode(problem)).toBe('too_large');
      expect(await listed(files, SPACE)).toEqual([]);
      const exact = await files.put(SPACE, Readable.from([Buffer.alloc(1_000)]), { max_bytes: 1_000 });
      expect(exact.bytes).toBe(1_000);
    });

    filesTest('leaves nothing of a stream that breaks', async (files) => {
      const broken = new Readable({
        read() {
          this.push(Buffer.alloc(1_000));
          this.destroy(new Error('the line broke'));
        },
      });
      expect(String(await caught(files.put(SPACE, broken)))).toContain('the line broke');
      expect(await listed(files, SPACE)).toEqual([]);
    });

    filesTest('never shows bytes of one space in another, whatever the names', async (files) => {
      const spaces = [
        'default',
        'Default',
        'a/../default',
        '..',
        '.',
        '',
        '%2e',
        'é',
        'e\u0301',
        '🏳️‍🌈',
        '\ud83c',
        'x'.repeat(300),
        'x'.repeat(301),
        '.tmp',
      ];
      const stored = new Map<string, string>();
      for (const [index, space] of spaces.entries()) {
        stored.set(space, (await files.put(space, Readable.from([Buffer.from(`bytes of ${index}`)]))).sha256);
      }
      for (const space of spaces) {
        for (const [owner, id] of stored) {
          expect((await files.size(space, id)) !== null, `${owner} seen from ${space}`).toBe(owner === space);
        }
        expect(await listed(files, space)).toHaveLength(1);
      }
    });

    filesTest('answers not_found for bytes it does not have, and for what is no sha256', async (files) => {
      for (const id of [sha256(Buffer.from('unknown')), '../../etc/passwd', '', 'A'.repeat(64)]) {
        expect(await files.size(SPACE, id)).toBeNull();
        expect(errorCode(await caught(files.open(SPACE, id)))).toBe('not_found');
        expect(errorCode(await caught(files.local(SPACE, id)))).toBe('not_found');
        await files.remove(SPACE, id);
      }
    });

    filesTest('takes over a local file, which is gone afterwards', async (files, folder) => {
      const path = join(folder, 'output.bin');
      await writeFile(path, 'an output');
      const stored = await files.adopt(SPACE, path);
      expect(stored).toEqual({ sha256: sha256(Buffer.from('an output')), bytes: 9 });
      expect(existsSync(path)).toBe(false);
      expect((await read(files, stored.sha256)).toString()).toBe('an output');
    });

    filesTest('takes over a file whose bytes it has already', async (files, folder) => {
      await files.put(SPACE, Readable.from([Buffer.from('twice')]));
      const path = join(folder, 'again');
      await writeFile(path, 'twice');
      await files.adopt(SPACE, path);
      expect(existsSync(path)).toBe(false);
      expect(await listed(files, SPACE)).toHaveLength(1);
    });

    filesTest('copies a file that another name could still change', async (files, folder) => {
      const path = join(folder, 'one-name');
      await writeFile(path, 'before');
      await link(path, join(folder, 'other-name'));
      const { sha256: id } = await files.adopt(SPACE, path);
      expect(existsSync(path)).toBe(false);
      await writeFile(join(folder, 'other-name'), 'AFTER!');
      expect((await read(files, id)).toString()).toBe('before');
    });

    filesTest('refuses to take over a file that is not there, or is no file', async (files, folder) => {
      expect(errorCode(await caught(files.adopt(SPACE, join(folder, 'nothing'))))).toBe('not_found');
      expect(errorCode(await caught(files.adopt(SPACE, folder)))).toBe('invalid');
      await writeFile(join(folder, 'target'), 'x');
      await symlink(join(folder, 'target'), join(folder, 'link'));
      expect(errorCode(await caught(files.adopt(SPACE, join(folder, 'link'))))).toBe('invalid');
      expect(await listed(files, SPACE)).toEqual([]);
    });

    filesTest('lends a local path to read at', async (files) => {
      const { sha256: id } = await files.put(SPACE, Readable.from([Buffer.from('read me')]));
      const lent = await Promise.all([files.local(SPACE, id), files.local(SPACE, id)]);
      for (const { path, release } of lent) {
        expect(await readFile(path, 'utf8')).toBe('read me');
        await release();
      }
    });

    filesTest('removes bytes, and does not mind when they are gone', async (files) => {
      const { sha256: id } = await files.put(SPACE, Readable.from([Buffer.from('x')]));
      await files.remove(SPACE, id);
      await files.remove(SPACE, id);
      expect(await files.size(SPACE, id)).toBeNull();
      expect(await listed(files, SPACE)).toEqual([]);
    });

    filesTest('goes on reading bytes that are removed meanwhile', async (files) => {
      const bytes = randomBytes(2_000_000);
      const { sha256: id } = await files.put(SPACE, Readable.from([bytes]));
      const stream = await files.open(SPACE, id);
      await files.remove(SPACE, id);
      expect(Buffer.concat(await stream.toArray()).equals(bytes)).toBe(true);
    });

    filesTest('lists every blob of a space with its size', async (files) => {
      const stored: StoredBytes[] = [];
      for (let size = 0; size < 20; size++)
        stored.push(await files.put(SPACE, Readable.from([Buffer.alloc(size, 'x')])));
      const byId = (a: StoredBytes, b: StoredBytes) => a.sha256.localeCompare(b.sha256);
      expect((await listed(files, SPACE)).sort(byId)).toEqual(stored.sort(byId));
      expect(await listed(files, 'nobody')).toEqual([]);
    });
  });
}

async function read(files: Files, id: string, range?: { start: number; end: number }): Promise<Buffer> {
  return Buffer.concat(await (await files.open(SPACE, id, range)).toArray());
}

function* slices(bytes: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function listed(files: Files, space: string): Promise<StoredBytes[]> {
  return await Array.fromAsync(files.list(space));
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function caught(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('It should have been refused.');
}
