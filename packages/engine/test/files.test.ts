import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { errorCode } from '@sheaf/protocol';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { diskError } from '../src/adapters/disk-errors.ts';
import { createDiskFiles } from '../src/adapters/files-disk/disk-files.ts';
import { filesContract } from '../src/testing/contracts/files.contract.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'sheaf-disk-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

for (const verify of [false, true]) {
  filesContract(verify ? 'disk, verified' : 'disk', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sheaf-disk-'));
    return {
      files: createDiskFiles({ root: folder, verify }),
      close: () => rm(folder, { recursive: true, force: true }),
    };
  });
}

describe('Files: disk', () => {
  test('keeps blobs read-only, under the first two digits of their sha256', async () => {
    const files = createDiskFiles({ root });
    const { sha256 } = await files.put('default', Readable.from([Buffer.from('x')]));
    const { path } = await files.local('default', sha256);
    expect(path).toBe(join(root, 'default', sha256.slice(0, 2), sha256));
    expect((await stat(path)).mode & 0o222).toBe(0);
  });

  test('leaves no temporary file behind, whether a put ends well or not', async () => {
    const files = createDiskFiles({ root });
    await files.put('default', Readable.from([Buffer.from('x')]));
    await files.put('default', Readable.from([Buffer.from('x')]));
    await files.put('default', Readable.from([Buffer.alloc(10)]), { max_bytes: 1 }).catch(() => undefined);
    expect(await readdir(join(root, '.tmp'))).toEqual([]);
  });

  test('removes what a crash left half-received, at the next start', async () => {
    createDiskFiles({ root });
    await writeFile(join(root, '.tmp', 'half'), 'hal');
    createDiskFiles({ root });
    expect(await readdir(join(root, '.tmp'))).toEqual([]);
  });

  test('in a shared folder removes only what nobody has touched for a day', async () => {
    createDiskFiles({ root, shared: true });
    await writeFile(join(root, '.tmp', 'under-way'), '');
    await writeFile(join(root, '.tmp', 'old'), '');
    const yesterday = Date.now() / 1_000 - 90_000;
    await utimes(join(root, '.tmp', 'old'), yesterday, yesterday);
    createDiskFiles({ root, shared: true });
    expect(await readdir(join(root, '.tmp'))).toEqual(['under-way']);
  });

  test('replaces a blob of the wrong size when its bytes come again', async () => {
    const files = createDiskFiles({ root });
    const { sha256 } = await files.put('default', Readable.from([Buffer.from('whole')]));
    const { path } = await files.local('default', sha256);
    await truncate(path, 2);
    await files.put('default', Readable.from([Buffer.from('whole')]));
    expect(Buffer.concat(await (await files.open('default', sha256)).toArray()).toString()).toBe('whole');
  });

  test('with verify, a damaged blob ends in an error before its last bytes', async () => {
    const files = createDiskFiles({ root, verify: true });
    const { sha256 } = await files.put('default', Readable.from([Buffer.alloc(200_000, 'a')]));
    const { path } = await files.local('default', sha256);
    await rm(path);
    await writeFile(path, Buffer.alloc(200_000, 'b'));
    let bytes = 0;
    const reading = (async () => {
      for await (const chunk of await files.open('default', sha256)) bytes += chunk.length;
    })();
    await expect(reading).rejects.toThrow(/damaged/);
    expect(bytes).toBeLessThan(200_000);
  });

  test('keeps every space inside its own folder, and out of the one for what is received', async () => {
    const inner = join(root, 'inner');
    const files = createDiskFiles({ root: inner });
    for (const space of ['..', '.', '', '../x', '/etc', '.tmp', 'A', 'a\\b', 'nul\0']) {
      await files.put(space, Readable.from([Buffer.from('x')]));
    }
    expect(await readdir(root)).toEqual(['inner']);
    expect(await readdir(join(inner, '.tmp'))).toEqual([]);
    // Small letters only: some file systems do not tell them from capitals.
    const folders = (await readdir(inner)).filter((name) => name !== '.tmp');
    expect(folders).toHaveLength(9);
    for (const name of folders) expect(name).toMatch(/^[a-z0-9_%~.-]+$/);
  });

  test('ends the source when it refuses, and when it cannot write at all', async () => {
    const endless = () => {
      return new Readable({
        read() {
          this.push(Buffer.alloc(1_000));
        },
      });
    };
    const files = createDiskFiles({ root });
    const large = endless();
    await files.put('default', large, { max_bytes: 5_000 }).catch(() => undefined);
    expect(large.destroyed).toBe(true);

    await rm(join(root, '.tmp'), { recursive: true });
    const unlucky = endless();
    await expect(files.put('default', unlucky)).rejects.toThrow();
    expect(unlucky.destroyed).toBe(true);
  });

  test.each([
    ['ENOSPC', 'storage_full'],
    ['EDQUOT', 'storage_full'],
    ['EROFS', 'storage_full'],
    ['EMFILE', 'storage_full'],
    ['EIO', 'storage_failed'],
  ])('calls %s %s', (code, expected) => {
    expect(errorCode(diskError(Object.assign(new Error(code), { code }), root))).toBe(expected);
  });

  // A device that is always full: what the system really answers, without filling a disk.
  test.runIf(existsSync('/dev/full'))('answers storage_full when the disk is full', async () => {
    const { createWriteStream } = await import('node:fs');
    const problem = await new Promise((resolve) =>
      createWriteStream('/dev/full').on('error', resolve).end('x'),
    );
    expect(errorCode(diskError(problem, root))).toBe('storage_full');
  });
});
