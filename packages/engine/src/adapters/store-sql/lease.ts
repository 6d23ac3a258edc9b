import { isActive, type Policies } from '@sheaf/protocol/words';
import { type RawBuilder, sql } from 'kysely';
import type { LeaseAnswer, LeaseRefusal, ReadyBatch, Served } from '../../ports/leasing.ts';
import type { Store } from '../../ports/store.ts';
import { giveBack, lockLeases } from './give-back.ts';
import { configsOf, nextReady, pick } from './pick.ts';
import { countStarts, isRateLimited, startsLeft } from './rate.ts';
import { type BatchRow, lockRow, type Session, type Write } from './session.ts';
import type { LeaseTable } from './tables.ts';

type LeaseOptions = Parameters<Store['lease']>[0];

type Leasing = Pick<Store, 'lease' | 'renew' | 'release' | 'ready' | 'isReady'>;

/** The part of the Store that hands out work. */
export function leasing(session: Session): Leasing {
  return {
    lease: (options) => session.write((tx) => lease(tx, options)),

    renew: (tokens, now) =>
      session.write(async (tx) => {
        if (tokens.length === 0) return [];
        // A lease of a paused batch stays alive while its items finish, but starts no more of them.
        await sql`update lease set renewed_at = ${now} where token in (
            select token from lease where ${tx.dialect.isIn('token', tokens)} order by token ${tx.dialect.forUpdate})
          and epoch = (select epoch from batch where batch.no = lease.batch_no)`.execute(tx.db);
        const rows = await tx.db
          .selectFrom('lease')
          .innerJoin('batch', (join) =>
            join.onRef('batch.no', '=', 'lease.batch_no').onRef('batch.epoch', '=', 'lease.epoch'),
          )
          .select(['lease.token', 'lease.width', 'batch.status', 'batch.concurrency'])
          .where(tx.dialect.isIn('lease.token', tokens))
          .execute();
        const held = new Map(rows.map((row) => [row.token, row]));
        return tokens.map((token) => {
          const row = held.get(token);
          return row === undefined
            ? { token, held: false, status: null, concurrency: 0, width: 0 }
            : { token, held: true, status: row.status, concurrency: row.concurrency, width: row.width };
        });
      }),

    release: (tokens) =>
      session.write(async (tx) => {
        if (tokens.length === 0) return;
        const leases = await lockLeases(
          tx,
          tx.db.selectFrom('lease').selectAll().where(tx.dialect.isIn('token', tokens)),
        );
        for (const lease of leases.sort((a, b) => a.batch_no - b.batch_no)) await release(tx, lease);
      }),

    isReady: ({ batch_id, now }) =>
      session.read(async (db) => {
        const { rows } =
          await sql`select 1 from batch b where b.id = ${batch_id} and ${hasReady(now)}`.execute(db);
        return rows.length > 0;
      }),

    ready: ({ now, limit }) =>
      session.read(async (db) => {
        const { rows } = await sql<ReadyBatch>`
          select b.id as batch_id, b.priority, b.concurrency, b.pool from batch b
          where ${hasReady(now)}
          order by b.priority desc, b.no limit ${limit}`.execute(db);
        const next = await sql<{ at: number | null }>`select min(at) as at from (
          select min(r.ready_at) as at from batch b join range r on r.batch_no = b.no
          where b.status in ('queued', 'running') and r.token is null and r.ready_at > ${now}
          union all select min(b.next_start_at) from batch b
          where b.status in ('queued', 'running') and b.hidden_at is null and ${isRateLimited(now)}) waits`.execute(
          db,
        );
        return { batches: rows, next_ready_at: next.rows[0]?.at ?? null };
      }),
  };
}

/** Whether a lease of the batch `b` would find something. */
function hasReady(now: number): RawBuilder<boolean> {
  return sql<boolean>`b.status in ('queued', 'running') and b.hidden_at is null and b.leased_width < b.concurrency
    and (b.next_start_at is null or not ${isRateLimited(now)})
    and (exists (select 1 from range r where r.batch_no = b.no and r.token is null and r.ready_at = 0
        and r.from_seq <= coalesce(b.canary_to, ${Number.MAX_SAFE_INTEGER}))
      or exists (select 1 from range r where r.batch_no = b.no and r.token is null
        and r.ready_at > 0 and r.ready_at <= ${now}))`;
}

async function lease(tx: Write, options: LeaseOptions): Promise<LeaseAnswer> {
  const found = await tx.db
    .selectFrom('batch')
    .select(['no', 'status'])
    .where('id', '=', options.batch_id)
    .executeTakeFirst();
  if (found === undefined || !isActive(found.status)) return refuse('not_active');
  // Its row is the lock of its free ranges: from here on everything of it stands still.
  const batch = await lockRow(tx, found.no);
  if (batch === undefined || batch.hidden_at !== null || !isActive(batch.status)) return refuse('not_active');
  if (options.serves !== undefined && !isServed(batch, options.serves)) return refuseUnserved(batch);
  const room = batch.concurrency - batch.leased_width;
  if (room <= 0) return refuse('no_width');
  const slots = Math.min(options.width, room);
  const starts = startsLeft(batch, { slots, now: options.now });
  if (starts.items === 0) return refuse('rate_limited', starts.next_at);
  const limit = Math.min(options.limit, starts.items);
  const picked = await pick(tx, batch, { ...options, limit, width: slots });
  if (typeof picked === 'string') return refuse(picked, await nextReady(tx.db, batch.no));
  const width = picked.alone ? 1 : Math.min(options.width, picked.count, room);
  await insertLease(tx, batch, options, { width, left: picked.count, alone: picked.alone });
  await countStarts(tx, batch, picked.count, options.now);
  await grant(tx, batch, width, options.now);
  const items = await tx.dialect.readItems(tx.db, batch.no, picked.ranges);
  return {
    lease: {
      token: options.token,
      batch: {
        id: batch.id,
        space: batch.space,
        processor: batch.processor,
        processor_version: batch.processor_version,
        policies: JSON.parse(batch.policies) as Policies,
        concurrency: batch.concurrency,
      },
      epoch: batch.epoch,
      width,
      items,
      configs: await configsOf(tx, batch, items),
      alone: picked.alone,
    },
  };
}

function refuse(refused: LeaseRefusal['refused'], nextReadyAt: number | null = null): LeaseRefusal {
  return { refused, next_ready_at: nextReadyAt, needs: null };
}

/** Another major version may mean other results: the batch waits for the one it began with. */
function isServed(batch: BatchRow, serves: readonly Served[]): boolean {
  const [major] = batch.processor_version.split('.');
  return serves.some((served) => served.name === batch.processor && served.major === major);
}

function refuseUnserved({ processor, processor_version }: BatchRow): LeaseRefusal {
  return { refused: 'not_served', next_ready_at: null, needs: { processor, processor_version } };
}

async function insertLease(
  tx: Write,
  batch: BatchRow,
  { token, worker, boot, now }: LeaseOptions,
  { width, left, alone }: { width: number; left: number; alone: boolean },
): Promise<void> {
  await tx.db
    .insertInto('lease')
    .values({
      token,
      batch_no: batch.no,
      epoch: batch.epoch,
      width,
      left,
      alone: alone ? 1 : 0,
      worker,
      boot,
      granted_at: now,
      renewed_at: now,
    })
    .execute();
}

/** The batch's row comes last, and its guard is the one that counts: zero rows undo the lease. */
async function grant(tx: Write, batch: BatchRow, width: number, now: number): Promise<void> {
  const result = await sql`update batch set leased_width = leased_width + ${width}, status = 'running',
      started_at = coalesce(started_at, ${now}), running_since = coalesce(running_since, ${now})
    where no = ${batch.no} and epoch = ${batch.epoch} and status in ('queued', 'running')
      and leased_width + ${width} <= concurrency`.execute(tx.db);
  if (result.numAffectedRows !== 1n) throw new Error('The batch changed while it was leased.');
  if (batch.status === 'queued') {
    await tx.emit(batch, now, { type: 'batch_status', status: 'running', pause_reason: null, by: 'system' });
  }
}

/** Ends a lease unburned; of a cancelled or deleted batch nothing goes back. */
async function release(tx: Write, lease: LeaseTable): Promise<void> {
  const batch = await lockRow(tx, lease.batch_no);
  if (batch === undefined) return;
  const isDead = batch.status === 'cancelled' || batch.hidden_at !== null;
  if (!isDead) return void (await giveBack(tx, lease, 'unburned'));
  await tx.db.deleteFrom('range').where('token', '=', lease.token).execute();
  await tx.db.deleteFrom('lease').where('token', '=', lease.token).execute();
}
