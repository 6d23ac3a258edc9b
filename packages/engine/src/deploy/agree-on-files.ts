import { SheafError } from '@sheaf/protocol';
import { leaveProbe, requireSharedFolder } from '../adapters/files-disk/probe.ts';
import type { Clock } from '../ports/clock.ts';
import type { Store } from '../ports/store.ts';

/** Where a cluster keeps what all its processes must agree on: records of no pack and no space. */
const AGREED = { pack: 'sheaf', space: '', kind: 'files' };

/** Two that start at the same moment both write; the first one counts. */
const KEY = 'place';

type Place = { bucket: string } | { probe: string };

/**
 * Makes sure that a process of a cluster keeps its bytes where the others do. The first one says in
 * the Store where that is: a bucket by name, a folder by the probe it leaves in it.
 *
 * @param root The folder of the bytes, or null for a bucket.
 * @throws bad_config when it is another place.
 */
export async function agreeOnFiles(
  store: Store,
  clock: Clock,
  { root, name }: { root: string | null; name: string },
): Promise<void> {
  const agreed = (await read(store)) ?? (await propose(store, clock, await describe(root, name)));
  if (root === null && 'bucket' in agreed && agreed.bucket === withoutQuery(name)) return;
  if (root !== null && 'probe' in agreed) return requireSharedFolder(root, agreed.probe);
  const there = 'bucket' in agreed ? `in ${agreed.bucket}` : 'in a folder that all its machines share';
  throw new SheafError(
    'bad_config',
    `This cluster keeps its files ${there}, not in ${withoutQuery(name)}: name the same place with --files.`,
  );
}

async function describe(root: string | null, name: string): Promise<Place> {
  return root === null ? { bucket: withoutQuery(name) } : { probe: await leaveProbe(root) };
}

async function read(store: Store): Promise<Place | null> {
  const [record] = await store.records({ ...AGREED, after: 0, limit: 1 });
  // Nobody else writes records of this kind.
  return record === undefined ? null : (JSON.parse(record.data) as Place);
}

async function propose(store: Store, clock: Clock, place: Place): Promise<Place> {
  const record = { key: KEY, data: JSON.stringify(place) };
  const failed = await store.addRecords({ ...AGREED, records: [record], now: clock.now() }).then(
    () => null,
    (error: unknown) => error,
  );
  const agreed = await read(store);
  // Refused only because somebody was faster.
  if (agreed === null) throw failed;
  return agreed;
}

/** The same bucket may be reached by other addresses from other machines. */
function withoutQuery(name: string): string {
  return name.split('?')[0] ?? name;
}
