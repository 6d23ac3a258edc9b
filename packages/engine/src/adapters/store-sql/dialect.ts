import type { Kysely, RawBuilder, SqlBool } from 'kysely';
import type { LeasedItem, Outcome } from '../../ports/leasing.ts';
import type { StampedRange } from './stamp.ts';
import type { Tables } from './tables.ts';

export type Db = Kysely<Tables>;

/** What outcomes say of the lease they come with. */
export type OutcomeLease = { batch_no: number; worker: string };

/** How columns and tables are declared. */
export type ColumnTypes = {
  integer: string;
  serial: string;
  text: string;
  withoutRowid: string;
  roomToGrow: string;
};

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
   * Writes outcomes of items that have none yet, and answers for each whether it was taken. The guard
   * against a second record is in the statements themselves.
   */
  writeOutcomes(db: Db, lease: OutcomeLease, outcomes: readonly Outcome[], now: number): Promise<boolean[]>;
  /** The items that stretches in a lease's hands cover, in the order of the stretches, with what their processor needs. */
  readItems(db: Db, batchNo: number, ranges: readonly StampedRange[]): Promise<LeasedItem[]>;
  /**
   * Joins to ranges `r` the items `i` of their stretches, by the index that finds them: a planner that has to
   * guess how long a stretch is may think that to walk all items is as cheap.
   */
  itemsOf: RawBuilder<unknown>;
  /** `column in (…)` for a list of any length. */
  isIn(column: string, values: readonly (string | number)[]): RawBuilder<boolean>;
  /** Whether a JSON object of texts has this pair; the name is data, never a path. */
  hasLabel(column: string, name: string, value: string): RawBuilder<SqlBool>;
  /** Makes a storage error of the driver one of ours; anything else comes back as it is. */
  toProblem(error: unknown): unknown;
  /** Texts as a table `list` with a column `value`. */
  asTable(values: readonly string[]): RawBuilder<unknown>;
  /** Ends a `select` whose rows are locked until the transaction ends. */
  forUpdate: RawBuilder<unknown>;
  /** Leaves out, of such a `select`, the rows that somebody else has locked: it waits for nobody. */
  forUpdateUnlocked: RawBuilder<unknown>;
  /** Ends a `select` whose rows nobody removes until the transaction ends; others may read and keep them as well. */
  forKeeping: RawBuilder<unknown>;
  /** Locks the rows of one table only, of those that a `select` joins. */
  forUpdateOf(alias: string): RawBuilder<unknown>;
  /** `like` that does not tell upper from lower case. */
  like: RawBuilder<unknown>;
  /** Lets no other transaction past that names the same, until this one ends. */
  serialise(db: Db, what: string): Promise<void>;
  /** Begins a step of the sweep; false when somebody else is at it just now. */
  trySweep(db: Db): Promise<boolean>;
  /** Runs migrations while nobody else does. */
  migrating(db: Db, work: (db: Db) => Promise<void>): Promise<void>;
  /** Runs reads that all see the same moment. */
  snapshot<T>(db: Db, work: (db: Db) => Promise<T>): Promise<T>;
  /** Lets a transaction see one moment from its beginning to its end; it only reads. */
  freeze(db: Db): Promise<void>;
  /** Whether the transaction only met another one, and may be tried again. */
  isConflict(error: unknown): boolean;
  /** What the database says of itself. */
  about(db: Db): Promise<Record<string, string | number>>;
};
