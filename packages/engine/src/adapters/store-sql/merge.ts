import { isFinal, type Policies, SheafError } from '@sheaf/protocol/words';
import { sql } from 'kysely';
import type { Store } from '../../ports/store.ts';
import { clearedBatch } from './give-back.ts';
import { createDraft } from './intake.ts';
import { HAS_NO_OUTCOME } from './is-covered.ts';
import { parse, toBatch } from './rows.ts';
import { type BatchRow, reload, type Session, type Write, wrongStatus } from './session.ts';
import { settle } from './settle.ts';

type Merge = Parameters<Store['merge']>[0];

/** Several batches of one processor and config become one: unrun items move, outcomes stay where they are. */
export function merging(session: Session): Pick<Store, 'merge'> {
  return {
    merge: (options) =>
      session.write(async (tx) => {
        const sources = await findSources(tx, options);
        const [first] = sources;
        if (first === undefined)
          throw new SheafError('invalid', 'Name at least one batch to merge (batch_ids).');
        const target = await createDraft(tx, draftLike(first, sources, options), [], options.now);
        for (const source of sources) await moveItems(tx, source, target, options);
        const merged = await reload(tx, target.no);
        await tx.emit(merged, options.now, {
          type: 'batch_created',
          name: merged.name,
          total_items: merged.total_items,
        });
        return toBatch(tx.db, await reload(tx, target.no));
      }),
  };
}

async function findSources(tx: Write, { space, batch_ids }: Merge): Promise<BatchRow[]> {
  const sources: BatchRow[] = [];
  for (const batchId of new Set(batch_ids)) {
    const row = await clearedBatch(tx, { space, batch_id: batchId }, 'merge');
    const [first = row] = sources;
    if (row.processor !== first.processor || row.config !== first.config) {
      throw new SheafError(
        'invalid',
        `${row.id} has another processor or config than ${first.id}; only equal ones merge.`,
        {
          errors: [
            { pointer: '/batch_ids', code: 'invalid', message: 'Processor and config must be the same.' },
          ],
        },
      );
    }
    const lease = await tx.db
      .selectFrom('lease')
      .select('token')
      .where('batch_no', '=', row.no)
      .executeTakeFirst();
    if (row.status === 'paused' && lease !== undefined) {
      throw wrongStatus(
        'merge',
        row.status,
        `Items of ${row.id} are still finishing; merge it when they have.`,
      );
    }
    sources.push(row);
  }
  return sources;
}

function draftLike(first: BatchRow, sources: readonly BatchRow[], options: Merge) {
  return {
    id: options.id,
    space: options.space,
    name: options.name,
    description: first.description,
    processor: first.processor,
    processor_version: first.processor_version,
    pool: first.pool,
    config: parse<Record<string, never>>(first.config),
    template_id: first.template_id,
    customer_prefix: first.customer_prefix,
    session_id: first.session_id,
    labels: parse<Record<string, string>>(first.labels),
    metadata: { merged_from: [...options.batch_ids] },
    external_ids: parse<Record<string, string>>(first.external_ids),
    concurrency: first.concurrency,
    priority: first.priority,
    policies: parse<Policies>(first.policies),
    requires_approval: sources.some((source) => source.requires_approval === 1),
    open: false,
    created_by: options.by,
  };
}

async function moveItems(tx: Write, source: BatchRow, target: BatchRow, options: Merge): Promise<void> {
  const { next_seq: first } = await reload(tx, target.no);
  const { max_attempts } = parse<Policies>(target.policies);
  if (source.merged_into === null) {
    await sql`insert into item (batch_no, seq, name, key, input, file_id, bytes, attempt)
      select ${target.no}, ${first} - 1 + row_number() over (order by seq), name, key, input, file_id, bytes, 0
      from item i where i.batch_no = ${source.no} and ${HAS_NO_OUTCOME}`.execute(tx.db);
  }
  const { rows } = await sql<{ count: number; bytes: number }>`
    select count(*) as count, coalesce(sum(bytes), 0) as bytes from item
    where batch_no = ${target.no} and seq >= ${first}`.execute(tx.db);
  const { count, bytes } = rows[0] ?? { count: 0, bytes: 0 };
  await endSource(tx, source, target, options);
  if (count === 0) return;
  await sql`insert into range (batch_no, from_seq, to_seq, attempt, last_attempt, crashes, priority, ready_at, token, config_no)
    values (${target.no}, ${first}, ${first + count - 1}, 1, ${max_attempts}, 0, 5, 0, null, 1)`.execute(
    tx.db,
  );
  await tx.db
    .updateTable('batch')
    .set((eb) => ({
      next_seq: first + count,
      total_items: eb('total_items', '+', count),
      total_bytes: eb('total_bytes', '+', bytes),
    }))
    .where('no', '=', target.no)
    .execute();
}

/** What moved reads cancelled in the old batch; a batch that had waited ends. */
async function endSource(tx: Write, source: BatchRow, target: BatchRow, { now, by }: Merge): Promise<void> {
  await tx.db.deleteFrom('range').where('batch_no', '=', source.no).execute();
  const unrun = source.total_items - source.completed_items - source.failed_items - source.skipped_items;
  const wasPending = isFinal(source.status) ? source.cancelled_items : unrun;
  await tx.db
    .updateTable('batch')
    .set({
      merged_into: target.id,
      cancelled_items: wasPending,
      open: 0,
      canary_to: null,
      canary_left: 0,
      updated_at: now,
    })
    .where('no', '=', source.no)
    .execute();
  if (source.status === 'draft') {
    await tx.db
      .updateTable('batch')
      .set({ status: 'cancelled', completed_at: now })
      .where('no', '=', source.no)
      .execute();
    await tx.emit(source, now, { type: 'batch_status', status: 'cancelled', pause_reason: null, by });
  } else {
    await settle(tx, source.no, now, by);
  }
}
