import {
  type BatchId,
  baseDirectoryName,
  batchDate,
  customerPrefix,
  DEFAULT_PRIORITY,
  isFinal,
  MAX_ITEMS,
  type Policies,
  SheafError,
} from '@sheaf/protocol/words';
import { sql } from 'kysely';
import type { IdempotencyKey, NewBatch, NewItemRow, Store } from '../../ports/store.ts';
import { freshRate } from './rate.ts';
import { toBatch } from './rows.ts';
import {
  type BatchRow,
  findBatch,
  judge,
  lockBatch,
  reload,
  type Session,
  type Write,
  wrongStatus,
} from './session.ts';
import { settleIfDone, settleOrPause } from './settle.ts';
import { reach } from './sparse.ts';
import { startDraft } from './steer.ts';
import type { RangeTable } from './tables.ts';

/** The part of the Store that takes work in. */
export function intake(session: Session): Pick<Store, 'create' | 'append' | 'removeItem' | 'seal'> {
  return {
    create: (batch, items, options) =>
      session.write(async (tx) => {
        const { now, start = false, idempotency } = options;
        const known = idempotency && (await claimKey(tx, batch, idempotency, now));
        if (known !== undefined) {
          const row = await findBatch(tx.db, { space: batch.space, batch_id: known });
          return { batch: await toBatch(tx.db, row), created: false };
        }
        const row = await createDraft(tx, batch, items, now);
        const created = { type: 'batch_created', name: row.name, total_items: items.length } as const;
        const draft = await tx.emit(row, now, created);
        const made = start ? await startDraft(tx, draft, { now, by: batch.created_by }) : draft;
        return { batch: await toBatch(tx.db, made), created: true };
      }),

    append: (act, items) =>
      session.write(async (tx) => {
        const row = await lockBatch(tx, act);
        judge('append', row.status);
        const firstSeq = row.next_seq;
        await addItems(tx, row, items);
        if (items.length === 0) return { batch: await toBatch(tx.db, row), first_seq: firstSeq };
        const totalItems = row.total_items + items.length;
        const added = { type: 'items_added', count: items.length, total_items: totalItems } as const;
        const grown = await tx.emit(row, act.now, added);
        const open = isFinal(row.status) ? await reopen(tx, row, act.now, act.by) : grown;
        return { batch: await toBatch(tx.db, open), first_seq: firstSeq };
      }),

    removeItem: (act) =>
      session.write(async (tx) => {
        const row = await lockBatch(tx, act);
        judge('remove', row.status);
        await removeItem(tx, row, act.seq);
        const left = await tx.emit(row, act.now, { type: 'item_removed', item_seq: act.seq, by: act.by });
        return toBatch(tx.db, await settleOrPause(tx, left, act.now, act.by));
      }),

    seal: (act) =>
      session.write(async (tx) => {
        const row = await lockBatch(tx, act);
        if (judge('seal', row.status) === 'already' || row.open === 0) return toBatch(tx.db, row);
        const closed = { type: 'batch_changed' as const, fields: ['open'], by: act.by };
        const sealed = await tx.emit(row, act.now, closed, { open: 0 });
        return toBatch(tx.db, await settleIfDone(tx, sealed, act.now, act.by));
      }),
  };
}

/** Takes an idempotency key for a new batch, or answers the batch that was made with it. */
async function claimKey(
  tx: Write,
  batch: NewBatch,
  { route, key, body_hash }: IdempotencyKey,
  now: number,
): Promise<string | undefined> {
  // Who comes second waits for the first one's commit, and then finds its row.
  const claimed = await tx.db
    .insertInto('idempotency')
    .values({ space: batch.space, route, key, body_hash, batch_id: batch.id, created_at: now })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  if (claimed.numInsertedOrUpdatedRows === 1n) return undefined;
  const known = await tx.db
    .selectFrom('idempotency')
    .select(['body_hash', 'batch_id'])
    .where('space', '=', batch.space)
    .where('route', '=', route)
    .where('key', '=', key)
    .executeTakeFirstOrThrow();
  if (known.body_hash !== body_hash) {
    throw new SheafError(
      'key_reused',
      'The Idempotency-Key was used before with another body; take a new key.',
    );
  }
  return known.batch_id;
}

/** A draft with its first items, its counter and its directory name. */
export async function createDraft(
  tx: Write,
  batch: NewBatch,
  items: readonly NewItemRow[],
  now: number,
): Promise<BatchRow> {
  const date = batchDate(now);
  const prefix =
    batch.customer_prefix ?? customerPrefix(items.slice(0, 1_000).map((item) => item.name ?? ''));
  const counter = await nextCounter(tx, batch.space, prefix ?? '', date);
  const directory = baseDirectoryName(prefix, date, counter);
  const { policies, config, labels, metadata, external_ids, open, requires_approval, ...plain } = batch;
  const { no } = await tx.db
    .insertInto('batch')
    .values({
      ...plain,
      id: batch.id as BatchId,
      name: batch.name ?? directory,
      status: 'draft',
      pause_reason: null,
      paused_by: null,
      paused_from: null,
      round: 1,
      epoch: 1,
      open: open ? 1 : 0,
      requires_approval: requires_approval ? 1 : 0,
      config: JSON.stringify(config),
      config_no: 1,
      customer_prefix: prefix,
      batch_date: date,
      batch_counter: counter,
      base_directory_name: directory,
      labels: JSON.stringify(labels),
      metadata: JSON.stringify(metadata),
      external_ids: JSON.stringify(external_ids),
      policies: JSON.stringify(policies),
      ...freshRate(policies),
      leased_width: 0,
      next_seq: 1,
      total_items: 0,
      completed_items: 0,
      failed_items: 0,
      skipped_items: 0,
      cancelled_items: 0,
      total_bytes: 0,
      done_bytes: 0,
      canary_to: null,
      canary_left: 0,
      budget_failed: 0,
      budget_finished: 0,
      metrics: '{}',
      event_seq: 0,
      merged_into: null,
      created_at: now,
      updated_at: now,
      started_at: null,
      paused_at: null,
      completed_at: null,
      ran_ms: 0,
      running_since: null,
      leftover: 0,
      hidden_at: null,
    })
    .returning('no')
    .executeTakeFirstOrThrow();
  await tx.db
    .insertInto('batch_config')
    .values({ batch_no: no, config_no: 1, config: JSON.stringify(config) })
    .execute();
  const row = await reload(tx, no);
  await addItems(tx, row, items);
  return row;
}

/** Counts the batches of a space, prefix and day; the row's lock makes it never give a number twice. */
async function nextCounter(tx: Write, space: string, prefix: string, date: string): Promise<number> {
  const { last } = await tx.db
    .insertInto('name_counter')
    .values({ space, prefix, batch_date: date, last: 1 })
    .onConflict((conflict) =>
      conflict
        .columns(['space', 'prefix', 'batch_date'])
        .doUpdateSet((eb) => ({ last: eb('name_counter.last', '+', 1) })),
    )
    .returning('last')
    .executeTakeFirstOrThrow();
  return last;
}

/** Items, the range that says they are to be done, and the counters, all at once. */
async function addItems(tx: Write, row: BatchRow, items: readonly NewItemRow[]): Promise<void> {
  if (items.length === 0) return;
  const total = row.total_items + items.length;
  if (total > MAX_ITEMS) {
    throw new SheafError(
      'too_many_items',
      `A batch has at most ${MAX_ITEMS} items; this one would have ${total}.`,
      {
        limit: MAX_ITEMS,
      },
    );
  }
  const sizes = await fileSizes(tx, row.space, items);
  const first = row.next_seq;
  let bytes = 0;
  const rows = items.map((item, index) => {
    const size = item.file_id === null ? 0 : (sizes.get(item.file_id) ?? 0);
    bytes += size;
    return { batch_no: row.no, seq: first + index, ...item, bytes: size, attempt: 0 };
  });
  await tx.dialect.insertMany(tx.db, 'item', rows);
  await addRange(tx, row, first, first + items.length - 1);
  await tx.db
    .updateTable('batch')
    .set((eb) => ({
      next_seq: first + items.length,
      total_items: eb('total_items', '+', items.length),
      total_bytes: eb('total_bytes', '+', bytes),
    }))
    .where('no', '=', row.no)
    .execute();
}

async function fileSizes(
  tx: Write,
  space: string,
  items: readonly NewItemRow[],
): Promise<Map<string, number>> {
  const ids = [...new Set(items.flatMap((item) => (item.file_id === null ? [] : [item.file_id])))];
  if (ids.length === 0) return new Map();
  const rows = await tx.db
    .selectFrom('file')
    .select(['id', 'bytes'])
    .where('space', '=', space)
    .where(tx.dialect.isIn('id', ids))
    // One that nobody has named for long is being removed at any time.
    .modifyEnd(tx.dialect.forKeeping)
    .execute();
  const sizes = new Map(rows.map((file) => [file.id, file.bytes]));
  const index = items.findIndex((item) => item.file_id !== null && !sizes.has(item.file_id));
  if (index >= 0) {
    const id = String(items[index]?.file_id).slice(0, 60);
    const errors = [
      { pointer: `/items/${index}/file_id`, code: 'not_found', message: `No file ${id}; upload it first.` },
    ];
    throw new SheafError(
      'invalid',
      `Item ${index + 1} names the file ${id}, which does not exist; upload it first.`,
      { errors },
    );
  }
  return sizes;
}

/** Untouched work is one range: a million lines that come in a hundred pieces still lease like one. */
async function addRange(tx: Write, row: BatchRow, from: number, to: number): Promise<void> {
  const { max_attempts } = JSON.parse(row.policies) as Policies;
  const grown = await sql`update range set to_seq = ${to} where id = (
      select id from range where batch_no = ${row.no} and from_seq < ${from} order by from_seq desc limit 1)
    and to_seq = ${from - 1} and token is null and items is null and attempt = 1 and last_attempt = ${max_attempts}
    and crashes = 0 and priority = ${DEFAULT_PRIORITY} and ready_at = 0 and config_no = ${row.config_no}`.execute(
    tx.db,
  );
  if (grown.numAffectedRows === 1n) return;
  const range: Omit<RangeTable, 'id'> = {
    batch_no: row.no,
    from_seq: from,
    to_seq: to,
    attempt: 1,
    last_attempt: max_attempts,
    crashes: 0,
    priority: DEFAULT_PRIORITY,
    ready_at: 0,
    token: null,
    config_no: row.config_no,
    items: null,
  };
  await tx.db.insertInto('range').values(range).execute();
}

function reopen(tx: Write, row: BatchRow, now: number, by: string): Promise<BatchRow> {
  const queued = { type: 'batch_status', status: 'queued', pause_reason: null, by } as const;
  return tx.emit(row, now, queued, { status: 'queued', completed_at: null });
}

/** Only what waits can be removed: the free range that covers it is shrunk, split or deleted. */
async function removeItem(tx: Write, row: BatchRow, seq: number): Promise<void> {
  const item = await tx.db
    .selectFrom('item_state')
    .select(['status', 'bytes', 'attempt'])
    .where('batch_no', '=', row.no)
    .where('seq', '=', seq)
    .executeTakeFirst();
  if (item === undefined) throw new SheafError('not_found', `Item not found: ${row.id}/${seq}`);
  const range = await freeRangeOf(tx, row.no, seq);
  if (item.status !== null || range === undefined || range.attempt <= item.attempt) {
    throw wrongStatus(
      'remove',
      row.status,
      `The item ${row.id}/${seq} runs or has ended; only waiting items can be removed.`,
    );
  }
  await leaveOut(tx, range, seq);
  await tx.db.deleteFrom('item').where('batch_no', '=', row.no).where('seq', '=', seq).execute();
  await tx.db.deleteFrom('attempt').where('batch_no', '=', row.no).where('seq', '=', seq).execute();
  const inCanary = row.canary_to !== null && seq <= row.canary_to ? 1 : 0;
  await tx.db
    .updateTable('batch')
    .set((eb) => ({
      total_items: eb('total_items', '-', 1),
      total_bytes: eb('total_bytes', '-', item.bytes),
      canary_left: eb('canary_left', '-', inCanary),
    }))
    .where('no', '=', row.no)
    .execute();
}

/** A free range without one of its items. */
async function leaveOut(
  tx: Write,
  { id, ...range }: RangeTable & { id: number },
  seq: number,
): Promise<void> {
  const { from_seq, to_seq, items } = range;
  const update = tx.db.updateTable('range').where('id', '=', id);
  if (items === 1 || from_seq === to_seq) {
    await tx.db.deleteFrom('range').where('id', '=', id).execute();
  } else if (items !== null) {
    const first = seq === from_seq ? (await reach(tx.db, { ...range, id }, 1)).rest_from : from_seq;
    await update.set({ from_seq: first, items: items - 1 }).execute();
  } else if (seq === from_seq) {
    await update.set({ from_seq: seq + 1 }).execute();
  } else {
    await update.set({ to_seq: seq - 1 }).execute();
    if (seq < to_seq)
      await tx.db
        .insertInto('range')
        .values({ ...range, from_seq: seq + 1 })
        .execute();
  }
}

/** Free ranges never overlap: the one that begins last before the seq is the only one that can cover it. */
export async function freeRangeOf(
  tx: Write,
  batchNo: number,
  seq: number,
): Promise<(RangeTable & { id: number }) | undefined> {
  const range = await tx.db
    .selectFrom('range')
    .selectAll()
    .where('batch_no', '=', batchNo)
    .where('from_seq', '<=', seq)
    .where('token', 'is', null)
    .orderBy('from_seq', 'desc')
    .limit(1)
    .executeTakeFirst();
  return range !== undefined && range.to_seq >= seq ? (range as RangeTable & { id: number }) : undefined;
}
