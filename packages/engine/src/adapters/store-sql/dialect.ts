import type { Kysely, RawBuilder, SqlBool } from 'kysely';
import type { LeasedItem, Outcome } from '../../ports/leasing.ts';
import type { StampedRange } from './pick.ts';
import type { Tables } from './tables.ts';

export type Db = Kysely<Tables>;

export type ColumnTypes = { integer: string; serial: string; withoutRowid: string };

/** What differs between the databases: a few named capabilities, never an `if` in a query. */
export type Dialect = {
  name: string;
  types: ColumnTypes;
  /** Inserts many rows of one table; keys of the first row name the columns. */
  insertMany<T extends keyof Tables & string>(
    db: Db,
    table: T,
    rows: readonly Record<string, unknown>[],
  ): Promise<void>;
  /**
   * Writes outcomes into items that have none yet, and answers for each whether it was taken. The
   * guard against a second record is in the statement itself.
   */
  writeOutcomes(db: Db, batchNo: number, outcomes: readonly Outcome[], now: number): Promise<boolean[]>;
  /** The items that stretches in a lease's hands cover, in the order of the stretches, with what their processor needs. */
  readItems(db: Db, batchNo: number, ranges: readonly StampedRange[]): Promise<LeasedItem[]>;
  /** `column in (…)` for a list of any length. */
  isIn(column: string, values: readonly (string | number)[]): RawBuilder<boolean>;
  /** Whether a JSON object of texts has this pair; the name is data, never a path. */
  hasLabel(column: string, name: string, value: string): RawBuilder<SqlBool>;
  /** Makes a storage error of the driver one of ours; anything else comes back as it is. */
  toProblem(error: unknown): unknown;
  /** What the database says of itself. */
  about(db: Db): Promise<Record<string, string | number>>;
};
