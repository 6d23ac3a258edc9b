import type { Json } from '@sheaf/protocol';
import type { Clock } from '../ports/clock.ts';
import type { PackRecord, Records } from '../ports/records.ts';
import type { Store } from '../ports/store.ts';

/** A pack's view of its own records in one space. */
export function createRecords({
  store,
  clock,
  pack,
  space,
}: {
  store: Store;
  clock: Clock;
  pack: string;
  space: string;
}): Records {
  const read = async (kind: string, query: { ids?: readonly number[]; after: number; limit: number }) => {
    const rows = await store.records({ pack, space, kind, ...query });
    return rows.map(({ data, ...row }): PackRecord => ({ ...row, data: JSON.parse(data) as Json }));
  };
  return {
    add: (kind, records) => {
      const rows = records.map(({ key, data }) => ({ key: key ?? null, data: JSON.stringify(data) }));
      return store.addRecords({ pack, space, kind, records: rows, now: clock.now() });
    },
    get: (kind, ids) => read(kind, { ids, after: 0, limit: ids.length }),
    list: (kind, { after = 0, limit = 100 } = {}) => read(kind, { after, limit }),
    count: (kind) => store.countRecords({ pack, space, kind }),
    update: (kind, id, data) => store.updateRecord({ pack, space, kind, id, data: JSON.stringify(data) }),
    remove: (kind, ids) => store.removeRecords({ pack, space, kind, ids }),
  };
}
