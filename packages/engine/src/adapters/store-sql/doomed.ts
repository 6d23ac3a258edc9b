import { sql } from 'kysely';
import { bytesDoomed } from '../../domain/doomed-bytes.ts';
import type { BlobRef, RemovedBlob } from '../../ports/files.ts';
import type { Store } from '../../ports/store.ts';
import type { Session, Write } from './session.ts';
import type { DoomedBlobTable } from './tables.ts';

/** A claim that did not end by then is somebody's who died, and another one may have what it holds. */
const CLAIM_MS = 120_000;

/** How long it is known that bytes were removed: longer than any store is from its naming. */
const REMEMBERED_MS = 3_600_000;

/**
 * The part of the Store that hands out bytes to remove, to any number of processes at once. Rows of
 * `doomed_blob` are locked after items and before batches, by space and sum; what locks them otherwise
 * waits for nobody.
 */
export function claiming(session: Session): Pick<Store, 'claimDoomed' | 'endClaim'> {
  return {
    claimDoomed: ({ now, doomed_before, limit }) =>
      session.write(async (tx) => {
        const abandoned = await tx.db
          .selectFrom('doomed_blob')
          .select(['space', 'sha256'])
          .where('claimed_at', '<=', now - CLAIM_MS)
          .where('removed_at', 'is', null)
          .limit(limit)
          .modifyEnd(tx.dialect.forUpdateUnlocked)
          .execute();
        const waiting = await tx.db
          .selectFrom('doomed_blob')
          .select(['space', 'sha256'])
          .where('doomed_at', '<=', doomed_before)
          .where('claimed_at', 'is', null)
          .orderBy('doomed_at')
          .limit(limit - abandoned.length)
          .modifyEnd(tx.dialect.forUpdateUnlocked)
          .execute();
        const unnamed = await withoutNamed(tx, [...abandoned, ...waiting]);
        for (const [space, sums] of bySpace(unnamed)) {
          await tx.db
            .updateTable('doomed_blob')
            .set({ claimed_at: now })
            .where('space', '=', space)
            .where(tx.dialect.isIn('sha256', sums))
            .execute();
        }
        return unnamed;
      }),

    endClaim: ({ claimed_at, removed, kept, now }) =>
      session.write(async (tx) => {
        await lockDoomed(tx, [...removed, ...kept]);
        const changes = [
          [removed, { removed_at: now }],
          [kept, { claimed_at: null, doomed_at: now }],
        ] as const;
        for (const [blobs, change] of changes) {
          for (const [space, sums] of bySpace(blobs)) {
            await tx.db
              .updateTable('doomed_blob')
              .set(change)
              .where('space', '=', space)
              .where(tx.dialect.isIn('sha256', sums))
              .where('claimed_at', '=', claimed_at)
              .where('removed_at', 'is', null)
              .execute();
          }
        }
      }),
  };
}

/** Dooms those bytes that no file names any more, after their files' rows were deleted. */
export async function doom(tx: Write, blobs: readonly BlobRef[], now: number): Promise<void> {
  for (const [space, sums] of bySpace(blobs)) {
    await sql`insert into doomed_blob (space, sha256, doomed_at)
      select cast(${space} as text), list.value, cast(${now} as bigint) from ${tx.dialect.asTable(sums)}
      where not exists (select 1 from file where file.space = ${space} and file.sha256 = list.value)
      order by list.value
      on conflict (space, sha256) do update set doomed_at = excluded.doomed_at
        where doomed_blob.claimed_at is null`.execute(tx.db);
  }
}

/**
 * Bytes that get a name in this transaction are doomed no more. One statement, unless some are.
 *
 * @param confirmed Bytes that were found after this removal: they were stored anew.
 * @throws bytes_doomed for those that are being removed, or were removed and are not confirmed.
 */
export async function revive(
  tx: Write,
  blobs: readonly BlobRef[],
  confirmed: readonly RemovedBlob[],
): Promise<void> {
  const doomed = await lockDoomed(tx, blobs);
  if (doomed.length === 0) return;
  const found = new Map(confirmed.map((blob) => [nameOf(blob), blob.removed_at]));
  const claimed: BlobRef[] = [];
  const removed: RemovedBlob[] = [];
  for (const { space, sha256, claimed_at, removed_at } of doomed) {
    if (removed_at === null) {
      if (claimed_at !== null) claimed.push({ space, sha256 });
    } else if (found.get(nameOf({ space, sha256 })) !== removed_at) {
      removed.push({ space, sha256, removed_at });
    }
  }
  if (claimed.length > 0 || removed.length > 0) throw bytesDoomed({ claimed, removed });
  await forget(tx, doomed);
}

/** Removals of long ago: what is stored now was stored after them. */
export async function forgetRemoved(tx: Write, now: number, limit: number): Promise<void> {
  const old = await tx.db
    .selectFrom('doomed_blob')
    .select(['space', 'sha256'])
    .where('removed_at', '<=', now - REMEMBERED_MS)
    .limit(limit)
    .modifyEnd(tx.dialect.forUpdateUnlocked)
    .execute();
  await forget(tx, old);
}

/** Those of the bytes that are doomed, in whatever state, which nobody else can change until the commit. */
async function lockDoomed(tx: Write, blobs: readonly BlobRef[]): Promise<DoomedBlobTable[]> {
  if (blobs.length === 0) return [];
  const wanted = new Set(blobs.map(nameOf));
  const rows = await tx.db
    .selectFrom('doomed_blob')
    .selectAll()
    .where(tx.dialect.isIn('space', [...new Set(blobs.map((blob) => blob.space))]))
    .where(tx.dialect.isIn('sha256', [...new Set(blobs.map((blob) => blob.sha256))]))
    .orderBy('space')
    .orderBy('sha256')
    .modifyEnd(tx.dialect.forUpdate)
    .execute();
  return rows.filter((row) => wanted.has(nameOf(row)));
}

/** Forgets those that a file names by now. A statement of its own: it sees what was named before the lock. */
async function withoutNamed(tx: Write, blobs: readonly BlobRef[]): Promise<BlobRef[]> {
  const named: BlobRef[] = [];
  for (const [space, sums] of bySpace(blobs)) {
    const rows = await tx.db
      .selectFrom('file')
      .select(['space', 'sha256'])
      .distinct()
      .where('space', '=', space)
      .where(tx.dialect.isIn('sha256', sums))
      .execute();
    named.push(...rows);
  }
  await forget(tx, named);
  const names = new Set(named.map(nameOf));
  return blobs.filter((blob) => !names.has(nameOf(blob)));
}

async function forget(tx: Write, blobs: readonly BlobRef[]): Promise<void> {
  for (const [space, sums] of bySpace(blobs)) {
    await tx.db
      .deleteFrom('doomed_blob')
      .where('space', '=', space)
      .where(tx.dialect.isIn('sha256', sums))
      .execute();
  }
}

/** The sums of each space, once, in the order in which all lock them. */
function bySpace(blobs: readonly BlobRef[]): [space: string, sums: string[]][] {
  const spaces = Map.groupBy(blobs, (blob) => blob.space);
  return [...spaces]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([space, list]) => [space, [...new Set(list.map(({ sha256 }) => sha256))].sort()]);
}

function nameOf({ space, sha256 }: BlobRef): string {
  return `${space}/${sha256}`;
}
