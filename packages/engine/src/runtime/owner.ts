import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { SheafError } from '@sheaf/protocol';
import type { Clock } from '../ports/clock.ts';
import type { Files } from '../ports/files.ts';
import type { Store } from '../ports/store.ts';

/** Beside the spaces of callers: holds the marks of all Stores whose bytes lie there. */
export const OWNERS = '.owner';

/** What a Store knows of itself: a record of no pack and no space. */
const OWN_ID = { pack: 'sheaf', space: '', kind: 'owner' };
const KEY = 'id';

/** The sha256 of a mark. */
export type OwnersMark = string;

/**
 * Says in the Files whose bytes they are: bytes that this Store does not name may be somebody else's, and
 * only marks tell. Leaving it twice leaves one.
 */
export async function leaveMark({
  store,
  files,
  clock,
}: {
  store: Store;
  files: Files;
  clock: Clock;
}): Promise<OwnersMark> {
  const id = (await readId(store)) ?? (await proposeId(store, clock));
  const mark = await files.put(OWNERS, Readable.from([Buffer.from(`The bytes here belong to ${id}.\n`)]));
  return mark.sha256;
}

/** @throws bad_config when another Store has left its mark as well. */
export async function requireOwn(files: Files, mark: OwnersMark): Promise<void> {
  for await (const { sha256 } of files.list(OWNERS)) {
    if (sha256 === mark) continue;
    throw new SheafError(
      'bad_config',
      'Another database keeps its files in the same place, so those that nothing names are left alone. ' +
        'Give each its own folder, bucket or prefix; if the other database is gone, remove its mark: ' +
        `what is named ${sha256}.`,
      { mark: sha256 },
    );
  }
}

async function readId(store: Store): Promise<string | null> {
  const [record] = await store.records({ ...OWN_ID, after: 0, limit: 1 });
  return record?.data ?? null;
}

/** Of two that propose at the same moment the first one counts. */
async function proposeId(store: Store, clock: Clock): Promise<string> {
  const proposed = randomUUID();
  await store.addRecords({ ...OWN_ID, records: [{ key: KEY, data: proposed }], now: clock.now() });
  return (await readId(store)) ?? proposed;
}
