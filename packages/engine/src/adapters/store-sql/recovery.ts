import { fingerprint, type PauseReason, type Policies } from '@sheaf/protocol/words';
import { sql } from 'kysely';
import type { Store } from '../../ports/store.ts';
import type { Db } from './dialect.ts';
import { clearLeftover, giveBack, lockLeases } from './give-back.ts';
import { isCovered } from './is-covered.ts';
import { parse } from './rows.ts';
import {
  type BatchRow,
  lockRow,
  reload,
  type Session,
  stopClock,
  type Write,
  wherePausedFrom,
} from './session.ts';
import { pauseFor, settle, settleOrPause } from './settle.ts';
import type { LeaseTable } from './tables.ts';
import { buryWorkers, livingBoots, WORKER_LIFE_MS } from './workers.ts';

/** A lease that nobody renewed for this long is taken away. */
const LEASE_LIFE_MS = 6_000;

/** An open batch that gets no more items for this long is sealed. */
const OPEN_SILENCE_MS = 900_000;

/** Ranges one step of the sweep deletes, so that records never wait long behind it. */
const CLEAR_LIMIT = 10_000;

type Recovery = Pick<Store, 'recover' | 'sweep' | 'pauseAll' | 'resumeAll'>;

/** The part of the Store that repairs: after a death, after silence, after a full disk. */
export function recovering(session: Session): Recovery {
  return {
    async recover(options) {
      await session.write(({ db }) => buryWorkers(db, options));
      const dead = await session.read(async (db) => {
        const living = [options.boot, ...(await livingBoots(db, options.now))];
        return db
          .selectFrom('lease')
          .selectAll()
          .where('boot', 'not in', living)
          .orderBy('batch_no')
          .execute();
      });
      const report = {
        leases: dead.length,
        recovered: [] as string[],
        interrupted: [] as string[],
        poisoned: 0,
      };
      const lost = new Map<number, LeaseTable[]>();
      for (const lease of dead as LeaseTable[])
        lost.set(lease.batch_no, [...(lost.get(lease.batch_no) ?? []), lease]);
      // Beside others only what was lost is looked at: the rest is in living hands.
      const started = await session.read(async (db) =>
        !options.alone
          ? []
          : await db
              .selectFrom('batch')
              .select('no')
              .where('status', 'in', ['queued', 'running'])
              .where('hidden_at', 'is', null)
              .where('started_at', 'is not', null)
              .execute(),
      );
      // One transaction a batch: a crash in here leaves whole batches behind, and the next start goes on.
      for (const no of new Set([...lost.keys(), ...started.map((row) => row.no)])) {
        // Before, and apart: what a cancel left is found by its leases, which are locked before the batch.
        await session.write((tx) => clearIfNeeded(tx, no));
        await session.write((tx) => recoverBatch(tx, no, lost.get(no) ?? [], options, report));
      }
      return report;
    },

    async sweep(now) {
      const { expired, leftover, silent } = await session.read(async (db) => ({
        expired: await findSilent(db, now),
        leftover: await db.selectFrom('batch').select('no').where('leftover', '=', 1).limit(100).execute(),
        silent: await db
          .selectFrom('batch')
          .select('no')
          .where('open', '=', 1)
          .where('status', 'in', ['queued', 'running', 'paused'])
          .where('updated_at', '<', now - OPEN_SILENCE_MS)
          .limit(100)
          .execute(),
      }));
      // One at a time, among all processes: what the others would do is done.
      const step = (work: (tx: Write) => Promise<boolean>) =>
        session.write(async (tx) => (await tx.dialect.trySweep(tx.db)) && (await work(tx)));
      let count = 0;
      for (const lease of expired) if (await step((tx) => expire(tx, lease, now))) count += 1;
      for (const { no } of leftover) await step((tx) => clearStep(tx, no));
      for (const { no } of silent) await step((tx) => sealSilent(tx, no, now));
      return { expired: count };
    },

    pauseAll: ({ reason, now }) =>
      session.write(async (tx) => {
        const rows = await tx.db
          .selectFrom('batch')
          .selectAll()
          .where('status', 'in', ['queued', 'running'])
          .where('hidden_at', 'is', null)
          .orderBy('no')
          .modifyEnd(tx.dialect.forUpdate)
          .execute();
        for (const row of rows) await pauseFor(tx, row as BatchRow, reason, now);
        return rows.map((row) => row.id);
      }),

    resumeAll: ({ reason, now }) =>
      session.write(async (tx) => {
        const rows = await tx.db
          .selectFrom('batch')
          .selectAll()
          .where('status', '=', 'paused')
          .where('pause_reason', '=', reason)
          .where('hidden_at', 'is', null)
          .orderBy('no')
          .modifyEnd(tx.dialect.forUpdate)
          .execute();
        for (const row of rows) await resumeOne(tx, row as BatchRow, now);
        return rows.map((row) => row.id);
      }),
  };
}

async function recoverBatch(
  tx: Write,
  no: number,
  lost: readonly LeaseTable[],
  { review, policy, now }: Parameters<Store['recover']>[0],
  report: { recovered: string[]; interrupted: string[]; poisoned: number },
): Promise<void> {
  // Read again: some may have ended since they were found, and some may have got more items.
  const leases = await lockLeases(
    tx,
    tx.db
      .selectFrom('lease')
      .selectAll()
      .where(
        tx.dialect.isIn(
          'token',
          lost.map((lease) => lease.token),
        ),
      ),
  );
  const before = await lockRow(tx, no);
  if (before === undefined) return;
  for (const lease of leases) report.poisoned += await takeAway(tx, lease, before.epoch, now);
  await restartClock(tx, before, now);
  const row = await settleOrPause(tx, await reload(tx, no), now, 'system');
  if (row.status !== 'queued' && row.status !== 'running') return;
  const own = parse<Policies>(row.policies).recovery ?? policy;
  // Without a word from anybody, only lost work of a processor that must not run twice is held back.
  const isHeld = own === 'review' || (own === null && lost.length > 0 && review.includes(row.processor));
  tx.wake(no, now);
  if (isHeld && (await pauseFor(tx, row, 'interrupted', now)) !== null) report.interrupted.push(row.id);
  else if (lost.length > 0) report.recovered.push(row.id);
}

/** Running time ends with the last thing that was recorded: nobody worked while no server ran. */
async function restartClock(tx: Write, row: BatchRow, now: number): Promise<void> {
  if (row.running_since === null) return;
  const { ran_ms } = stopClock(row, Math.min(row.updated_at, now));
  await tx.db.updateTable('batch').set({ ran_ms, running_since: now }).where('no', '=', row.no).execute();
}

/** A dead host's lease. Whoever was alone with its host once too often becomes an outcome like any other. */
async function takeAway(tx: Write, lease: LeaseTable, epoch: number, now: number): Promise<number> {
  // What a pause or cancel took back before its host died goes back as it was, with the leftovers.
  if (lease.epoch !== epoch) return 0;
  const poisoned = await giveBack(tx, lease, 'host_died');
  let count = 0;
  for (const { batch_no, from_seq, to_seq, attempt, crashes } of poisoned) {
    const message = `The process that ran it died ${crashes} times, the last times with nothing else running.`;
    const cause = fingerprint({ code: 'poison', message });
    const last = attempt - 1;
    const given = sql`item i where i.batch_no = ${batch_no} and i.seq between ${from_seq} and ${to_seq}`;
    const result = await sql`insert into failure (batch_no, seq, attempt, cause)
      select i.batch_no, i.seq, ${last}, ${cause} from ${given} and ${sql.raw(isCovered(String(last)))}`.execute(
      tx.db,
    );
    await sql`insert into attempt (batch_no, seq, attempt, status, error_kind, error_code, error_message,
        finished_at, worker)
      select i.batch_no, i.seq, ${last}, 'failed', 'permanent', 'poison', ${message}, ${now}, ${lease.worker}
      from ${given} and ${sql.raw(isCovered(String(last)))}`.execute(tx.db);
    await sql`update item as i set attempt = ${last} where i.batch_no = ${batch_no}
      and i.seq between ${from_seq} and ${to_seq} and i.attempt = 0`.execute(tx.db);
    const failed = Number(result.numAffectedRows ?? 0);
    count += failed;
    await sql`update batch set failed_items = failed_items + ${failed},
        canary_left = canary_left - case when canary_to >= ${from_seq} then ${failed} else 0 end
      where no = ${batch_no}`.execute(tx.db);
    await sql`insert into cause (batch_no, cause, code, message, count, first_at, last_at)
      values (${batch_no}, ${cause}, 'poison', ${message}, ${failed}, ${now}, ${now})
      on conflict (batch_no, cause) do update set count = cause.count + ${failed}, last_at = ${now}`.execute(
      tx.db,
    );
  }
  return count;
}

/** Leases that nobody renews, although their worker lives or said goodbye. */
async function findSilent(db: Db, now: number): Promise<LeaseTable[]> {
  const rows = await db
    .selectFrom('lease')
    .selectAll()
    .where('renewed_at', '<', now - LEASE_LIFE_MS)
    .where('boot', 'not in', (eb) =>
      eb
        .selectFrom('worker')
        .select('boot')
        .where('seen_at', '<', now - WORKER_LIFE_MS),
    )
    .limit(1_000)
    .execute();
  return rows as LeaseTable[];
}

/** Not dead, only silent: its stretches go back as they were. */
async function expire(tx: Write, lease: LeaseTable, now: number): Promise<boolean> {
  const [current] = await lockLeases(
    tx,
    tx.db
      .selectFrom('lease')
      .selectAll()
      .where('token', '=', lease.token)
      .where('renewed_at', '<', now - LEASE_LIFE_MS),
  );
  if (current === undefined || (await lockRow(tx, lease.batch_no)) === undefined) return false;
  await giveBack(tx, current, 'unburned');
  await settle(tx, lease.batch_no, now, 'system');
  return true;
}

async function clearIfNeeded(tx: Write, no: number): Promise<void> {
  const row = await tx.db.selectFrom('batch').select('leftover').where('no', '=', no).executeTakeFirst();
  if (row?.leftover === 1) await clearLeftover(tx, no, CLEAR_LIMIT);
}

async function clearStep(tx: Write, no: number): Promise<boolean> {
  await clearLeftover(tx, no, CLEAR_LIMIT);
  return true;
}

async function sealSilent(tx: Write, no: number, now: number): Promise<boolean> {
  const row = await lockRow(tx, no);
  if (row?.open !== 1 || row.updated_at >= now - OPEN_SILENCE_MS) return false;
  await tx.db.updateTable('batch').set({ open: 0, updated_at: now }).where('no', '=', no).execute();
  await tx.emit(row, now, { type: 'batch_changed', fields: ['open'], by: 'system' });
  await settle(tx, no, now, 'system');
  return true;
}

async function resumeOne(tx: Write, row: BatchRow, now: number): Promise<void> {
  const status = wherePausedFrom(row);
  const none: PauseReason | null = null;
  await tx.db
    .updateTable('batch')
    .set({
      status,
      pause_reason: none,
      paused_by: null,
      paused_at: null,
      running_since: status === 'running' ? now : null,
    })
    .where('no', '=', row.no)
    .where('status', '=', 'paused')
    .execute();
  await tx.emit(row, now, { type: 'batch_status', status, pause_reason: null, by: 'system' });
  tx.wake(row.no, now);
  await settleOrPause(tx, await reload(tx, row.no), now, 'system');
}
