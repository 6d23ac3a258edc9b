import { chmod, mkdtemp, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createDiskFiles } from '../src/adapters/files-disk/disk-files.ts';
import { leaveProbe, removeProbe, requireSharedFolder, seesProbe } from '../src/adapters/files-disk/probe.ts';

let ours: string;
let another: string;
beforeEach(async () => {
  ours = await mkdtemp(join(tmpdir(), 'sheaf-probe-'));
  another = await mkdtemp(join(tmpdir(), 'sheaf-probe-'));
});
afterEach(async () => {
  for (const folder of [ours, another]) await rm(folder, { recursive: true, force: true });
});

describe('a shared folder', () => {
  test('is proved by who sees the probe, by whatever path', async () => {
    const id = await leaveProbe(ours);
    await symlink(ours, join(another, 'mounted'));
    expect(await seesProbe(ours, id)).toBe(true);
    expect(await seesProbe(join(another, 'mounted'), id)).toBe(true);
    await requireSharedFolder(join(another, 'mounted'), id);
    expect(await readdir(join(ours, '.probe'))).toEqual([id]);
  });

  test('is refused elsewhere, in words that say what to do', async () => {
    const id = await leaveProbe(ours);
    const theirs = await leaveProbe(another);
    expect(await seesProbe(another, id)).toBe(false);
    expect(await seesProbe(ours, theirs)).toBe(false);
    expect(await seesProbe(join(another, 'nothing'), id)).toBe(false);
    await expect(requireSharedFolder(another, id)).rejects.toMatchObject({
      code: 'bad_config',
      message: expect.stringContaining(another),
    });
  });

  test('is not proved by a name alone', async () => {
    const id = await leaveProbe(ours);
    await leaveProbe(another);
    await writeFile(join(another, '.probe', id), '');
    expect(await seesProbe(another, id)).toBe(false);
    await writeFile(join(ours, 'secret'), '../secret');
    expect(await seesProbe(ours, '../secret')).toBe(false);
  });

  // Root may write anywhere.
  test.skipIf(process.getuid?.() === 0)('is refused when it can only be read', async () => {
    const id = await leaveProbe(ours);
    await chmod(join(ours, '.probe'), 0o555);
    await expect(requireSharedFolder(ours, id)).rejects.toThrow(/not written to/);
    await chmod(join(ours, '.probe'), 0o755);
  });

  test('keeps the probes of several servers, and those of long ago no longer', async () => {
    const first = await leaveProbe(ours);
    const old = await leaveProbe(ours);
    const months = Date.now() / 1_000 - 60 * 86_400;
    for (const id of [first, old]) await utimes(join(ours, '.probe', id), months, months);
    // Somebody starts there: it is in use.
    await requireSharedFolder(ours, first);
    const last = await leaveProbe(ours);
    expect((await readdir(join(ours, '.probe'))).sort()).toEqual([first, last].sort());
    await removeProbe(ours, first);
    await removeProbe(ours, first);
    expect(await seesProbe(ours, first)).toBe(false);
    expect(await seesProbe(ours, last)).toBe(true);
  });

  test('keeps its probe apart from every space', async () => {
    const files = createDiskFiles({ root: ours, shared: true });
    const id = await leaveProbe(ours);
    await files.put('.probe', Readable.from(['x']));
    expect(await Array.fromAsync(files.list('.probe'))).toHaveLength(1);
    expect(await readdir(join(ours, '.probe'))).toEqual([id]);
  });
});
