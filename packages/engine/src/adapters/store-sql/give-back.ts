import type { BatchAction } from '@sheaf/protocol';
import { type SelectQueryBuilder, sql } from 'kysely';
import { IS_COVERED } from './is-covered.ts';
import {
  type BatchRow,
  ChangedMeanwhile,
  findBatch,
  judge,
  lockBatch,
  lockRow,
  type Write,
} from './session.ts';
import type { LeaseTable, RangeTable, Tables } from './tables.ts';

/** How ranges come back: unchanged, or marked by the loss of their host. */
export type Loss = 'unburned' | 'host_died';

/** Seqs of one range that follow each other and are still to be done. */
type Island = Omit<RangeTable, 'id'>;

/**
 * Ends a lease and frees what it still covers: one range per maximal run of seqs, since neighbours
 * may have been recorded. The one way back for hand-back, pause(now), expiry and lost hosts.
 *
 * With a lost host the ranges count one more crash and one more attempt, to be told apart from the
 * lost try; `last_attempt` grows too, so nothing is burned — except by an item that was alone with
 * its host, which then did it.
 */
export async function giveBack(tx: Write, lease: LeaseTable, loss: Loss): Promise<Island[]> {
  const islands = await findIslands(tx, lease);
  await tx.db.deleteFrom('range').where('token', '=', lease.token).execute();
  await tx.db.deleteFrom('lease').where('token', '=', lease.token).execute();
  await sql`update batch set leased_width = leased_width - ${lease.width}
    where no = ${lease.batch_no} and epoch = ${lease.epoch}`.execute(tx.db);
  const burns = loss === 'host_died' && lease.alone === 1;
  const returned = islands.map((island): Island => {
    if (loss === 'unburned') return island;
    const { attempt, last_attempt, crashes } = island;
    return {
      ...island,
      attempt: attempt + 1,
      last_attempt: last_attempt + (burns ? 0 : 1),
      crashes: crashes + 1,
    };
  });
  const alive = returned.filter((island) => island.attempt <= island.last_attempt);
  await tx.dialect.insertMany(tx.db, 'range', alive);
  return returned.filter((island) => island.attempt > island.last_attempt);
}

async function findIslands(tx: Write, lease: LeaseTable): Promise<Island[]> {
  // Gaps and islands: within a run of neighbours, seq minus its rank is constant.
  const { rows } = await sql<Island>`
    select batch_no, min(seq) as from_seq, max(seq) as to_seq, attempt, last_attempt, crashes, priority,
      0 as ready_at, null as token, config_no
    from (
      select r.id, r.batch_no, i.seq, r.attempt, r.last_attempt, r.crashes, r.priority, r.config_no,
        i.seq - row_number() over (partition by r.id order by i.seq) as island
      from range r
      ${tx.dialect.itemsOf}
      where r.token = ${lease.token} and ${IS_COVERED}
    ) covered
    group by id, island, batch_no, attempt, last_attempt, crashes, priority, config_no
    order by from_seq`.execute(tx.db);
  return rows.map((row) => ({ ...row, from_seq: Number(row.from_seq), to_seq: Number(row.to_seq) }));
}

/**
 * Clears what cancel, pause(now) and delete left behind: leases of an older epoch and, in a dead batch,
 * its ranges, up to `limit` of them.
 */
export async function clearLeftover(tx: Write, batchNo: number, limit: number): Promise<void> {
  // Leases before the batch: whoever records with one holds it already, and is to learn that it is void.
  const stale = await lockLeases(
    tx,
    tx.db
      .selectFrom('lease')
      .selectAll()
      .where('batch_no', '=', batchNo)
      .where('epoch', '<', (eb) => eb.selectFrom('batch').select('epoch').where('no', '=', batchNo)),
  );
  const batch = await lockRow(tx, batchNo);
  if (batch === undefined) return;
  const isDead = batch.status === 'cancelled' || batch.hidden_at !== null;
  if (!isDead) {
    for (const lease of stale) await giveBack(tx, lease, 'unburned');
  } else {
    await tx.db
      .deleteFrom('lease')
      .where('batch_no', '=', batchNo)
      .where(
        tx.dialect.isIn(
          'token',
          stale.map((lease) => lease.token),
        ),
      )
      .execute();
    const gone = await sql`delete from range where id in (
      select id from range where batch_no = ${batchNo} limit ${limit})`.execute(tx.db);
    if (Number(gone.numAffectedRows ?? 0) >= limit) return;
  }
  // An epoch raised since the leases were found has left more of them.
  const { rows } =
    await sql`select 1 from lease where batch_no = ${batchNo} and epoch < ${batch.epoch} limit 1`.execute(
      tx.db,
    );
  if (rows.length > 0) return;
  await tx.db.updateTable('batch').set({ leftover: 0 }).where('no', '=', batchNo).execute();
}

/** A batch on which an action is legal, locked, with nothing left behind by a cancel: that would cover what comes back. */
export async function clearedBatch(
  tx: Write,
  ref: { space: string; batch_id: string },
  action: BatchAction,
): Promise<BatchRow> {
  const { no, leftover } = await findBatch(tx.db, ref);
  if (leftover === 1) await clearLeftover(tx, no, Number.MAX_SAFE_INTEGER);
  const row = await lockBatch(tx, ref);
  judge(action, row.status);
  if (row.leftover === 1) throw new ChangedMeanwhile(row.id);
  return row;
}

/** Locks leases in the order of their tokens, so that no two transactions wait for each other. */
export async function lockLeases(
  tx: Write,
  query: SelectQueryBuilder<Tables, 'lease', LeaseTable>,
): Promise<LeaseTable[]> {
  return query.orderBy('token').modifyEnd(tx.dialect.forUpdate).execute() as Promise<LeaseTable[]>;
}
