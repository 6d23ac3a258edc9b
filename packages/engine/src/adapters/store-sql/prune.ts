import { sql } from 'kysely';
import type { BlobRef } from '../../ports/files.ts';
import type { Store } from '../../ports/store.ts';
import { doom, forgetRemoved } from './doomed.ts';
import type { Session, Write } from './session.ts';

/** An upload that no item names is kept this long. */
const UNUSED_UPLOAD_MS = 86_400_000;

/** An Idempotency-Key is remembered this long. */
const IDEMPOTENCY_MS = 86_400_000;

/** The part of the Store that forgets: old batches are hidden at once and removed in slices. */
export function pruning(session: Session): Pick<Store, 'expire' | 'prune'> {
  return {
    expire: ({ space, before, now }) =>
      session.write(async (tx) => {
        let query = tx.db
          .updateTable('batch')
          .set((eb) => ({ hidden_at: now, epoch: eb('epoch', '+', 1), leased_width: 0, leftover: 1 }))
          .where('hidden_at', 'is', null)
          .where('status', 'in', ['completed', 'partially_completed', 'failed', 'cancelled'])
          .where('completed_at', '<', before);
        if (space !== null) query = query.where('space', '=', space);
        const { numUpdatedRows } = await query.executeTakeFirst();
        return Number(numUpdatedRows);
      }),

    prune: ({ now, limit }) =>
      session.write(async (tx) => {
        // Two at once would each leave bytes alone because of the file that the other one is removing.
        if (!(await tx.dialect.trySweep(tx.db))) return { removed: 0 };
        await forgetRemoved(tx, now, limit);
        await tx.db
          .deleteFrom('idempotency')
          .where('created_at', '<', now - IDEMPOTENCY_MS)
          .execute();
        const hidden = await tx.db
          .selectFrom('batch')
          .select(['no', 'space'])
          .where('hidden_at', 'is not', null)
          .orderBy('hidden_at')
          .limit(1)
          .executeTakeFirst();
        return {
          removed: await (hidden === undefined
            ? dropUnusedUploads(tx, now, limit)
            : pruneBatch(tx, hidden, { now, limit })),
        };
      }),
  };
}

async function pruneBatch(
  tx: Write,
  batch: { no: number; space: string },
  { now, limit }: { now: number; limit: number },
): Promise<number> {
  const { rows } = await sql<{ seq: number; file_id: string | null }>`select seq, file_id from item
    where batch_no = ${batch.no} order by seq limit ${limit}`.execute(tx.db);
  const last = rows.at(-1)?.seq;
  if (last === undefined) {
    for (const table of [
      'range',
      'lease',
      'cause',
      'event',
      'log',
      'attempt',
      'failure',
      'batch_config',
    ] as const) {
      await tx.db.deleteFrom(table).where('batch_no', '=', batch.no).execute();
    }
    await tx.db.deleteFrom('batch').where('no', '=', batch.no).execute();
    return 1;
  }
  for (const table of ['log', 'attempt', 'failure'] as const) {
    await tx.db.deleteFrom(table).where('batch_no', '=', batch.no).where('seq', '<=', last).execute();
  }
  await tx.db.deleteFrom('item').where('batch_no', '=', batch.no).where('seq', '<=', last).execute();
  const files = await sql<BlobRef>`delete from file where batch_no = ${batch.no} and seq <= ${last}
    returning space, sha256`.execute(tx.db);
  // An upload shared with another batch stays until its last item goes.
  const inputs = rows.flatMap((row) => (row.file_id === null ? [] : [row.file_id]));
  const uploads = await tx.db
    .selectFrom('file')
    .select('id')
    .where(tx.dialect.isIn('id', inputs))
    .where('batch_no', 'is', null)
    .modifyEnd(tx.dialect.forUpdateUnlocked)
    .execute();
  await doom(tx, [...files.rows, ...(await dropUnused(tx, uploads))], now);
  return rows.length;
}

async function dropUnusedUploads(tx: Write, now: number, limit: number): Promise<number> {
  const uploads = await tx.db
    .selectFrom('file')
    .select('id')
    .where('batch_no', 'is', null)
    .where('created_at', '<', now - UNUSED_UPLOAD_MS)
    .where(({ not, exists, selectFrom }) =>
      not(exists(selectFrom('item').select('seq').whereRef('item.file_id', '=', 'file.id'))),
    )
    .limit(limit)
    .modifyEnd(tx.dialect.forUpdateUnlocked)
    .execute();
  const dropped = await dropUnused(tx, uploads);
  await doom(tx, dropped, now);
  return dropped.length;
}

/**
 * A statement of its own after the rows are locked: it sees the items of whoever kept one of them until
 * then. One that somebody keeps just now is not among them.
 */
async function dropUnused(tx: Write, uploads: readonly { id: string }[]): Promise<BlobRef[]> {
  if (uploads.length === 0) return [];
  const ids = uploads.map(({ id }) => id);
  const { rows } = await sql<BlobRef>`delete from file where ${tx.dialect.isIn('id', ids)}
    and not exists (select 1 from item where item.file_id = file.id) returning space, sha256`.execute(tx.db);
  return rows;
}
