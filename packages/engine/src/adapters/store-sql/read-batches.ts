import { type Json, SheafError, type StoredEvent } from '@sheaf/protocol/words';
import { type Expression, type ExpressionBuilder, type SqlBool, sql } from 'kysely';
import type { ListBatches, Store } from '../../ports/store.ts';
import type { Dialect } from './dialect.ts';
import { parse, toBatch, toBatches } from './rows.ts';
import { type BatchRow, findBatch, type Session } from './session.ts';
import type { Tables } from './tables.ts';

/** Ranges shown in a batch's state; more are counted only. */
const STATE_RANGES = 20;

type Reading = Pick<Store, 'get' | 'list' | 'find' | 'causes' | 'events' | 'state' | 'about'>;

/** The part of the Store that shows batches. */
export function readingBatches(session: Session): Reading {
  return {
    get: (ref) => session.read(async (db) => toBatch(db, await findBatch(db, ref))),

    list: (query) =>
      session.read(async (db) => {
        const filtered = db.selectFrom('batch').where((eb) => conditions(session.dialect, eb, query));
        const { total } = await filtered
          .select(({ fn }) => fn.countAll<number>().as('total'))
          .executeTakeFirstOrThrow();
        const rows = await filtered
          .selectAll()
          .orderBy(query.sort_by ?? 'created_at', query.sort_order === 'ASC' ? 'asc' : 'desc')
          .orderBy('no', query.sort_order === 'ASC' ? 'asc' : 'desc')
          .limit(query.limit)
          .offset(query.offset)
          .execute();
        return { data: await toBatches(db, rows as BatchRow[]), total: Number(total) };
      }),

    find: ({ space, text }) =>
      session.read(async (db) => {
        const literal = escapeLike(text);
        const is = session.dialect.like;
        const begin = text.startsWith('bat_') ? `${literal}%` : `bat_${literal}%`;
        const rows = await db
          .selectFrom('batch')
          .selectAll()
          .where('space', '=', space)
          .where('hidden_at', 'is', null)
          .where(
            sql<boolean>`(name = ${text} or id ${is} ${begin} escape '\\' or id ${is} ${`%${literal}`} escape '\\')`,
          )
          .orderBy('created_at', 'desc')
          .limit(10)
          .execute();
        return toBatches(db, rows as BatchRow[]);
      }),

    causes: (ref) =>
      session.read(async (db) => {
        const row = await findBatch(db, ref);
        const causes = await db
          .selectFrom('cause')
          .select(['cause', 'code', 'message', 'count', 'first_at', 'last_at'])
          .where('batch_no', '=', row.no)
          .orderBy('count', 'desc')
          .limit(100)
          .execute();
        const samples = await Promise.all(
          causes.map(({ cause }) =>
            db
              .selectFrom('failure')
              .innerJoin('item', (join) =>
                join.onRef('item.batch_no', '=', 'failure.batch_no').onRef('item.seq', '=', 'failure.seq'),
              )
              .select(['item.seq', 'item.name', 'item.key'])
              .where('failure.batch_no', '=', row.no)
              .where('failure.cause', '=', cause)
              .orderBy('failure.seq')
              .limit(5)
              .execute(),
          ),
        );
        return causes.map((cause, index) => ({
          ...cause,
          samples: (samples[index] ?? []).map((item) => item.name ?? item.key ?? `item-${item.seq}`),
        }));
      }),

    events: (query) =>
      session.read(async (db) => {
        const row = await findBatch(db, query);
        const rows = await db
          .selectFrom('event')
          .select(['seq', 'at', 'type', 'data'])
          .where('batch_no', '=', row.no)
          .where('seq', '>', query.since)
          .orderBy('seq')
          .limit(query.limit)
          .execute();
        return rows.map(
          ({ seq, at, type, data }) =>
            ({ seq, at, batch_id: row.id, type, ...parse<object>(data) }) as StoredEvent,
        );
      }),

    state: (ref) =>
      session.read(async (db) => {
        const row = await findBatch(db, ref);
        const ranges = await db
          .selectFrom('range')
          .select(['from_seq', 'to_seq', 'attempt', 'ready_at', 'token', 'items'])
          .where('batch_no', '=', row.no)
          .orderBy('from_seq')
          .limit(STATE_RANGES)
          .execute();
        const { count } = await db
          .selectFrom('range')
          .select(({ fn }) => fn.countAll<number>().as('count'))
          .where('batch_no', '=', row.no)
          .executeTakeFirstOrThrow();
        const batch = await toBatch(db, row);
        const state = {
          id: batch.id,
          name: batch.name,
          status: batch.status,
          pause_reason: batch.pause_reason,
          round: batch.round,
          processor: `${batch.processor}@${batch.processor_version}`,
          config: batch.config,
          total_items: batch.total_items,
          pending_items: batch.pending_items,
          running_items: batch.running_items,
          completed_items: batch.completed_items,
          failed_items: batch.failed_items,
          cancelled_items: batch.cancelled_items,
          skipped_items: batch.skipped_items,
          event_seq: batch.event_seq,
          range_count: Number(count),
          ranges: ranges.map((range) => ({
            from: range.from_seq,
            to: range.to_seq,
            ...(range.items === null ? {} : { items: range.items }),
            attempt: range.attempt,
            state: range.token !== null ? 'leased' : range.ready_at > 0 ? 'waiting' : 'free',
          })),
        };
        return state satisfies Json;
      }),

    about: () => session.read((db) => session.dialect.about(db)),
  };
}

function conditions(dialect: Dialect, eb: ExpressionBuilder<Tables, 'batch'>, query: ListBatches) {
  const all: Expression<SqlBool>[] = [eb('space', '=', query.space), eb('hidden_at', 'is', null)];
  if (query.status !== undefined) all.push(eb('status', 'in', [...query.status]));
  if (query.customer_prefix !== undefined) all.push(eb('customer_prefix', '=', query.customer_prefix));
  if (query.date_from !== undefined) all.push(eb('batch_date', '>=', query.date_from));
  if (query.date_to !== undefined) all.push(eb('batch_date', '<=', query.date_to));
  if (query.processor !== undefined) all.push(eb('processor', '=', query.processor));
  if (query.session_id !== undefined) all.push(eb('session_id', '=', query.session_id));
  if (query.label !== undefined) {
    const { name, value } = query.label;
    all.push(dialect.hasLabel('labels', name, value));
  }
  if (query.search !== undefined) {
    const like = `%${escapeLike(query.search)}%`;
    const is = dialect.like;
    all.push(
      sql<SqlBool>`(name ${is} ${like} escape '\\' or description ${is} ${like} escape '\\'
        or base_directory_name ${is} ${like} escape '\\' or id ${is} ${like} escape '\\')`,
    );
  }
  return eb.and(all);
}

/** A search is for the text as it stands: `%`, `_` and `\` mean themselves. */
export function escapeLike(text: string): string {
  if (text.length > 200) throw new SheafError('invalid_query', 'A search text has at most 200 characters.');
  return text.replace(/[\\%_]/g, (letter) => `\\${letter}`);
}
