import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { open, opendir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { SheafError } from '@sheaf/protocol';
import { diskError, systemCode } from '../disk-errors.ts';

/** Beside the spaces: no space's folder begins with a dot. */
const FOLDER = '.probe';

/** A probe that nobody has proved himself by for so long goes when the next one is written. */
const FORGOTTEN_MS = 30 * 86_400_000;

/**
 * Leaves a mark in the folder of the files, and answers its id: whoever finds the mark of this id in
 * its own folder sees the same one. A cluster without a bucket tells its workers the id through the
 * database; two machines with equal paths and different disks would lose outputs without a sound.
 *
 * @throws storage_full when the folder cannot be written to.
 */
export async function leaveProbe(root: string): Promise<string> {
  const id = randomBytes(16).toString('hex');
  const folder = join(root, FOLDER);
  try {
    mkdirSync(folder, { recursive: true });
    await removeForgotten(folder);
    const handle = await open(join(folder, `${id}.new`), 'wx', 0o644);
    try {
      await handle.writeFile(id);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(join(folder, `${id}.new`), join(folder, id));
    return id;
  } catch (error) {
    throw diskError(error, root);
  }
}

/** Whether this folder is the one where the probe was left. A folder that cannot be read is not. */
export async function seesProbe(root: string, id: string): Promise<boolean> {
  if (!/^[0-9a-f]{32}$/.test(id)) return false;
  try {
    return (await readFile(join(root, FOLDER, id), 'utf8')) === id;
  } catch {
    return false;
  }
}

/**
 * Proves that a worker may store what others shall read: it sees the probe, and can write beside it.
 *
 * @throws bad_config saying what to do.
 */
export async function requireSharedFolder(root: string, id: string): Promise<void> {
  if (!(await seesProbe(root, id))) {
    throw new SheafError(
      'bad_config',
      `The folder ${root} is not the one that the server keeps its files in: its probe is not there. ` +
        'Mount the same folder on every machine and name it here, or keep the files in a bucket (s3://…).',
      { root, probe: id },
    );
  }
  const own = join(root, FOLDER, `${id}.${randomBytes(8).toString('hex')}`);
  try {
    await (await open(own, 'wx')).close();
    await rm(own);
    await touch(join(root, FOLDER, id));
  } catch (error) {
    throw new SheafError(
      'bad_config',
      `The shared folder ${root} can be read here, but not written to (${systemCode(error) ?? 'unknown'}).`,
      { root },
      error,
    );
  }
}

/** Says that the probe is in use. Only its owner may, which is enough: he starts as well. */
async function touch(path: string): Promise<void> {
  const now = new Date();
  await utimes(path, now, now).catch(() => undefined);
}

/** Takes the mark away at a clean end; no error when it is gone already. */
export async function removeProbe(root: string, id: string): Promise<void> {
  if (/^[0-9a-f]{32}$/.test(id)) await rm(join(root, FOLDER, id), { force: true });
}

async function removeForgotten(folder: string): Promise<void> {
  for await (const { name } of await opendir(folder)) {
    const path = join(folder, name);
    // Another server may do the same just now.
    const found = await stat(path).catch(() => null);
    if (found !== null && Date.now() - found.mtimeMs > FORGOTTEN_MS) await rm(path, { force: true });
  }
}
