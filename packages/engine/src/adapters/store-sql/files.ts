import { SheafError } from '@sheaf/protocol/words';
import { sql } from 'kysely';
import type { Store } from '../../ports/store.ts';
import { revive } from './doomed.ts';
import type { Session } from './session.ts';

type Keeping = Pick<
  Store,
  'addFile' | 'file' | 'addRecords' | 'records' | 'countRecords' | 'updateRecord' | 'removeRecords'
>;

/** The part of the Store that keeps uploads and the packs' own records. */
export function keeping(session: Session): Keeping {
  return {
    addFile: (file, { confirmed = [] } = {}) =>
      session.write(async (tx) => {
        await revive(tx, [file], confirmed);
        await tx.db
          .insertInto('file')
          .values({ ...file, batch_no: null, seq: null })
          .execute();
      }),

    file: ({ space, file_id }) =>
      session.read(async (db) => {
        const row = await db
          .selectFrom('file')
          .select(['id', 'space', 'sha256', 'name', 'bytes', 'media_type', 'created_at'])
          .where('space', '=', space)
          .where('id', '=', file_id)
          .executeTakeFirst();
        if (row === undefined) throw new SheafError('not_found', `File not found: ${file_id.slice(0, 60)}`);
        return row;
      }),

    addRecords: ({ pack, space, kind, records, now }) =>
      session.write(async (tx) => {
        await tx.dialect.serialise(tx.db, `records ${pack}/${space}/${kind}`);
        const { rows } = await sql<{ last: number }>`select coalesce(max(id), 0) as last from pack_record
          where pack = ${pack} and space = ${space} and kind = ${kind}`.execute(tx.db);
        let last = Number(rows[0]?.last ?? 0);
        const ids: number[] = [];
        for (const { key, data } of records) {
          const known =
            key === null
              ? undefined
              : await tx.db
                  .selectFrom('pack_record')
                  .select('id')
                  .where('pack', '=', pack)
                  .where('space', '=', space)
                  .where('kind', '=', kind)
                  .where('key', '=', key)
                  .executeTakeFirst();
          if (known === undefined) {
            last += 1;
            await tx.db
              .insertInto('pack_record')
              .values({ pack, space, kind, id: last, key, data, created_at: now })
              .execute();
          }
          ids.push(known?.id ?? last);
        }
        return ids;
      }),

    records: ({ pack, space, kind, ids, after, limit }) =>
      session.read(async (db) => {
        let query = db
          .selectFrom('pack_record')
          .select(['id', 'key', 'data', 'created_at'])
          .where('pack', '=', pack)
          .where('space', '=', space)
          .where('kind', '=', kind)
          .where('id', '>', after);
        if (ids !== undefined) query = query.where(session.dialect.isIn('id', ids));
        return query.orderBy('id').limit(limit).execute();
      }),

    countRecords: ({ pack, space, kind }) =>
      session.read(async (db) => {
        const { count } = await db
          .selectFrom('pack_record')
          .select(({ fn }) => fn.countAll<number>().as('count'))
          .where('pack', '=', pack)
          .where('space', '=', space)
          .where('kind', '=', kind)
          .executeTakeFirstOrThrow();
        return Number(count);
      }),

    updateRecord: ({ pack, space, kind, id, data }) =>
      session.write(async (tx) => {
        const { numUpdatedRows } = await tx.db
          .updateTable('pack_record')
          .set({ data })
          .where('pack', '=', pack)
          .where('space', '=', space)
          .where('kind', '=', kind)
          .where('id', '=', id)
          .executeTakeFirst();
        return numUpdatedRows > 0n;
      }),

    removeRecords: ({ pack, space, kind, ids }) =>
      session.write(async (tx) => {
        const { numDeletedRows } = await tx.db
          .deleteFrom('pack_record')
          .where('pack', '=', pack)
          .where('space', '=', space)
          .where('kind', '=', kind)
          .where(tx.dialect.isIn('id', ids))
          .executeTakeFirst();
        return Number(numDeletedRows);
      }),
  };
}
