import type { Json } from '@sheaf/protocol';

export type PackRecord = { id: number; key: string | null; data: Json; created_at: number };

/** A pack's own records in one space: small JSON documents with integer ids that count from 1. */
export interface Records {
  /** Adds records in one transaction. A key that exists already keeps its record and answers its id. */
  add(kind: string, records: { key?: string; data: Json }[]): Promise<number[]>;
  get(kind: string, ids: readonly number[]): Promise<PackRecord[]>;
  /** A page by id, after `after`. */
  list(kind: string, options?: { after?: number; limit?: number }): Promise<PackRecord[]>;
  count(kind: string): Promise<number>;
  /** Replaces the data of a record. Answers false when there is none with this id. */
  update(kind: string, id: number, data: Json): Promise<boolean>;
  remove(kind: string, ids: readonly number[]): Promise<number>;
}
