import type { Attempt, Failure, Item, ItemFile, ItemStatus, Json } from '@sheaf/protocol';
import { itemId, SheafError } from '@sheaf/protocol/words';
import { type RawBuilder, type SqlBool, sql } from 'kysely';
import type { ListItems, Store } from '../../ports/store.ts';
import { hasCause } from './causes.ts';
import { type Cover, coverOf, firstOpenSeq } from './cover.ts';
import type { Db, Dialect } from './dialect.ts';
import { escapeLike } from './read-batches.ts';
import { parse } from './rows.ts';
import { type BatchRow, findBatch, type Session } from './session.ts';
import type { AttemptTable, ItemState } from './tables.ts';

/** Rows looked at per step while searching for items whose state is not in their row. */
const SCAN_ROWS = 1_000;

/** Steps before a page is handed out as far as it got; its `next` goes on from there. */
const SCAN_STEPS = 20;

/** The part of the Store that shows items. */
export function readingItems(session: Session): Pick<Store, 'items' | 'item' | 'logs'> {
  const { dialect } = session;
  return {
    items: (query) =>
      session.read(async (db) => {
        const row = await findBatch(db, query);
        return listItems(db, dialect, row, query);
      }),

    item: (ref) =>
      session.read(async (db) => {
        const row = await findBatch(db, ref);
        const found = (await db
          .selectFrom('item_state')
          .selectAll()
          .where('batch_no', '=', row.no)
          .where('seq', '=', ref.seq)
          .executeTakeFirst()) as ItemState | undefined;
        if (found === undefined) throw new SheafError('not_found', `Item not found: ${row.id}/${ref.seq}`);
        const [item] = await toItems(db, dialect, row, [found]);
        if (item === undefined) throw new Error('A row makes an item.');
        return { ...item, attempts: await attemptsBefore(db, row.no, item) };
      }),

    logs: (query) =>
      session.read(async (db) => {
        const row = await findBatch(db, query);
        let select = db
          .selectFrom('log')
          .select(['id', 'seq', 'attempt', 'at', 'text'])
          .where('batch_no', '=', row.no)
          .where('id', '>', query.after);
        if (query.seq !== undefined) select = select.where('seq', '=', query.seq);
        const data = await select.orderBy('id').limit(query.limit).execute();
        return { data, next: data.length < query.limit ? null : (data.at(-1)?.id ?? null) };
      }),
  };
}

async function listItems(
  db: Db,
  dialect: Dialect,
  row: BatchRow,
  query: ListItems,
): Promise<{ data: Item[]; next: number | null }> {
  const wanted = query.status === undefined ? null : new Set<ItemStatus>(query.status);
  const data: Item[] = [];
  let after = query.after;
  // Items that wait cannot lie before the first range: no need to walk what is done.
  if (wanted !== null && onlyWaiting(wanted)) after = Math.max(after, (await firstOpenSeq(db, row.no)) - 1);
  for (let step = 0; step < SCAN_STEPS; step++) {
    const rows = await nextRows(db, dialect, row, query, wanted, after);
    const items = await toItems(db, dialect, row, rows);
    for (const item of items) {
      if (wanted !== null && !wanted.has(item.status)) continue;
      data.push(item);
      if (data.length === query.limit) return { data, next: item.seq };
    }
    if (rows.length < pageSize(query, wanted)) return { data, next: null };
    after = rows.at(-1)?.seq ?? after;
  }
  return { data, next: after };
}

function onlyWaiting(wanted: ReadonlySet<ItemStatus>): boolean {
  return [...wanted].every((status) => status === 'pending' || status === 'running');
}

function pageSize(query: ListItems, wanted: ReadonlySet<ItemStatus> | null): number {
  return wanted === null ? query.limit : Math.max(query.limit, SCAN_ROWS);
}

async function nextRows(
  db: Db,
  dialect: Dialect,
  row: BatchRow,
  query: ListItems,
  wanted: ReadonlySet<ItemStatus> | null,
  after: number,
): Promise<ItemState[]> {
  const page = { search: matches(dialect, query.search), after, limit: pageSize(query, wanted) };
  const isFailedOnly = wanted?.size === 1 && wanted.has('failed');
  // First which items: what their attempts say is looked up for these, not for all.
  const seqs =
    query.cause !== undefined || isFailedOnly
      ? await failedSeqs(db, row, { ...page, cause: query.cause ?? null })
      : await nextSeqs(db, row, { ...page, wanted });
  if (seqs.length === 0) return [];
  const rows = await db
    .selectFrom('item_state')
    .selectAll()
    .where('batch_no', '=', row.no)
    .where(dialect.isIn('seq', seqs))
    .orderBy('seq')
    .execute();
  return rows as ItemState[];
}

/** Items are matched by their name and key. */
type Page = { search: RawBuilder<SqlBool> | null; after: number; limit: number };

async function nextSeqs(
  db: Db,
  row: BatchRow,
  { search, after, limit, wanted }: Page & { wanted: ReadonlySet<ItemStatus> | null },
): Promise<number[]> {
  const rows = await db
    .selectFrom('item')
    .select('seq')
    .where('batch_no', '=', row.no)
    .where('seq', '>', after)
    .where(mayBe(wanted))
    .where(search ?? sql<boolean>`1 = 1`)
    .orderBy('seq')
    .limit(limit)
    .execute();
  return rows.map(({ seq }) => seq);
}

/** Of failures there may be few among millions of items. */
async function failedSeqs(
  db: Db,
  row: BatchRow,
  { search, after, limit, cause }: Page & { cause: string | null },
): Promise<number[]> {
  const ofCause = cause === null ? sql`` : sql`and ${hasCause(row.no, cause)}`;
  const found =
    search === null ? sql`` : sql`join item i on i.batch_no = f.batch_no and i.seq = f.seq and ${search}`;
  const { rows } = await sql<{ seq: number }>`select f.seq from failure f ${found}
    where f.batch_no = ${row.no} and f.seq > ${after} ${ofCause} order by f.seq limit ${limit}`.execute(db);
  return rows.map(({ seq }) => seq);
}

/** What an item's own row says of its status: nothing, where its attempts or the ranges do. */
function mayBe(wanted: ReadonlySet<ItemStatus> | null): RawBuilder<SqlBool> {
  if (wanted === null) return sql`1 = 1`;
  const has = (...statuses: ItemStatus[]) => statuses.some((status) => wanted.has(status));
  const any = [
    ...(has('completed') ? [sql`status = 'completed'`] : []),
    ...(has('skipped') ? [sql`status = 'skipped'`] : []),
    ...(has('pending', 'running', 'cancelled') ? [sql`status is null`] : []),
    ...(has('completed', 'failed') ? [sql`(status is null and attempt > 0)`] : []),
  ];
  return any.length === 0 ? sql`1 = 0` : sql`(${sql.join(any, sql` or `)})`;
}

function matches(dialect: Dialect, search: string | undefined): RawBuilder<SqlBool> | null {
  if (search === undefined) return null;
  const like = `%${escapeLike(search)}%`;
  return sql`(name ${dialect.like} ${like} escape '\\' or key ${dialect.like} ${like} escape '\\')`;
}

async function toItems(db: Db, dialect: Dialect, row: BatchRow, rows: readonly ItemState[]): Promise<Item[]> {
  if (rows.length === 0) return [];
  const cover = await coverOf(db, dialect, row, rows);
  const inputs = await inputFiles(db, dialect, rows);
  const outputs = await outputFiles(db, row.no, rows);
  return rows.map((item) => ({
    id: itemId(row.id, item.seq),
    batch_id: row.id,
    seq: item.seq,
    name: item.name ?? item.key ?? `item-${item.seq}`,
    key: item.key,
    ...statusOf(row, item, cover),
    input: parseOrNull(item.input),
    file: item.file_id === null ? null : (inputs.get(item.file_id) ?? null),
    attempt: item.attempt,
    result: parseOrNull(item.result),
    error: failureOf(item),
    cause: item.cause,
    metrics: item.metrics === null ? {} : parse<Record<string, number>>(item.metrics),
    outputs: outputs.get(item.seq) ?? [],
    duration_ms: item.duration_ms,
    finished_at: item.finished_at,
  }));
}

function statusOf(
  row: BatchRow,
  item: ItemState,
  cover: Cover,
): { status: ItemStatus; retry_at: number | null } {
  if (item.status !== null) return { status: item.status, retry_at: null };
  if (row.status === 'cancelled') return { status: 'cancelled', retry_at: null };
  const found = cover.find(item.seq, item.attempt);
  if (found === null) return { status: 'cancelled', retry_at: null };
  return found;
}

function parseOrNull(text: string | null): Json {
  return text === null ? null : parse<Json>(text);
}

function failureOf(item: Pick<AttemptTable, 'error_kind' | 'error_code' | 'error_message'>): Failure | null {
  if (item.error_code === null) return null;
  return {
    kind: (item.error_kind ?? 'retryable') as Failure['kind'],
    code: item.error_code,
    message: item.error_message ?? '',
  };
}

async function inputFiles(
  db: Db,
  dialect: Dialect,
  rows: readonly ItemState[],
): Promise<Map<string, ItemFile>> {
  const ids = rows.flatMap((item) => (item.file_id === null ? [] : [item.file_id]));
  if (ids.length === 0) return new Map();
  const files = await db
    .selectFrom('file')
    .select(['id', 'name', 'sha256', 'bytes', 'media_type'])
    .where(dialect.isIn('id', ids))
    .execute();
  return new Map(files.map((file) => [file.id, file]));
}

async function outputFiles(
  db: Db,
  batchNo: number,
  rows: readonly ItemState[],
): Promise<Map<number, ItemFile[]>> {
  const files = await db
    .selectFrom('file')
    .select(['id', 'name', 'sha256', 'bytes', 'media_type', 'seq'])
    .where('batch_no', '=', batchNo)
    .where('seq', '>=', rows[0]?.seq ?? 0)
    .where('seq', '<=', rows.at(-1)?.seq ?? 0)
    .orderBy('seq')
    .orderBy('name')
    .execute();
  const bySeq = new Map<number, ItemFile[]>();
  for (const { seq, ...file } of files) {
    if (seq !== null) bySeq.set(seq, [...(bySeq.get(seq) ?? []), file]);
  }
  return bySeq;
}

/** Those that failed, without the one that the item itself tells of. */
async function attemptsBefore(db: Db, batchNo: number, item: Item): Promise<Attempt[]> {
  const rows = await db
    .selectFrom('attempt')
    .selectAll()
    .where('batch_no', '=', batchNo)
    .where('seq', '=', item.seq)
    .orderBy('attempt')
    .execute();
  return rows.flatMap((row) => {
    const { attempt, started_at, duration_ms, finished_at, worker } = row;
    const error = failureOf(row);
    if (error === null || (item.status === 'failed' && attempt === item.attempt)) return [];
    const ended = started_at === null || duration_ms === null ? finished_at : started_at + duration_ms;
    return [
      { attempt, error, started_at: started_at ?? finished_at, finished_at: ended, worker: worker ?? '' },
    ];
  });
}
