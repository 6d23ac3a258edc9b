import { copyFileSync, existsSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { openSqliteStore } from '../../packages/engine/src/adapters/store-sql/sqlite.ts';
import type { BatchStatus, PauseReason, Policies } from '../../packages/protocol/src/index.ts';
import type { Place } from './place.ts';

/** What the database says, read by our own SQL and not by the code on trial. */
export type Image = {
  batches: Map<string, BatchImage>;
  /** What SQLite and the engine's own recount find wrong. */
  broken: string[];
};

export type BatchImage = {
  no: number;
  id: string;
  name: string;
  processor: string;
  status: BatchStatus;
  pause_reason: PauseReason | null;
  round: number;
  priority: number;
  concurrency: number;
  policies: Policies;
  total_items: number;
  completed_items: number;
  failed_items: number;
  skipped_items: number;
  cancelled_items: number;
  event_seq: number;
  /** Completed outcomes that were accepted, by what the processor of the ledger reported. */
  accepted: number;
  items: ItemImage[];
  events: EventImage[];
  outputs: OutputImage[];
  /** Failed attempts that another one followed. */
  attempts: { seq: number; attempt: number; error_code: string }[];
};

export type OutputImage = { id: string; seq: number; space: string; sha256: string; bytes: number };

export type ItemImage = {
  seq: number;
  name: string;
  status: 'completed' | 'failed' | 'skipped' | null;
  attempt: number;
  result: string | null;
  error_code: string | null;
  /** Whether its input asks for an output; null for probes. */
  wants_output: 0 | 1 | null;
};

export type EventImage = {
  seq: number;
  type: string;
  status?: BatchStatus;
  pause_reason?: PauseReason | null;
  by?: string;
  count?: number;
  total_items?: number;
  fields?: string[];
};

/**
 * Copies the database while nobody has it open: the next server recovers the original as it was left.
 * Answers how long the ledger was at that moment.
 */
export function copyImage(place: Place): { ledger_bytes: number } {
  for (const end of ['', '-wal', '-shm']) rmSync(join(place.image, `sheaf.db${end}`), { force: true });
  for (const end of ['', '-wal']) {
    const from = join(place.data, `sheaf.db${end}`);
    if (existsSync(from)) copyFileSync(from, join(place.image, `sheaf.db${end}`));
  }
  return { ledger_bytes: ledgerBytes(place) };
}

export function ledgerBytes({ ledger }: Place): number {
  return existsSync(ledger) ? statSync(ledger).size : 0;
}

/** Reads the copy. Opening it does what a restart does: it replays the log of the database. */
export async function readImage(place: Place): Promise<Image> {
  const file = join(place.image, 'sheaf.db');
  const store = await openSqliteStore({ file });
  const broken = await store.checkInvariants();
  await store.close();
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    const checked = database
      .prepare('pragma quick_check')
      .all()
      .map((row) => String(row.quick_check));
    broken.push(...checked.filter((line) => line !== 'ok').map((line) => `SQLite: ${line}`));
    return { batches: readBatches(database), broken };
  } finally {
    database.close();
  }
}

function readBatches(database: DatabaseSync): Map<string, BatchImage> {
  const rows = database.prepare('select * from batch where hidden_at is null order by no').all();
  const read = <T>(text: string, no: unknown) => database.prepare(text).all(Number(no)) as T[]; // as the SQL names them
  return new Map(
    rows.map((row) => {
      const { metrics, policies, ...rest } = row;
      const { no } = rest;
      const events = read<{ seq: number; type: string; data: string }>(
        'select seq, type, data from event where batch_no = ? order by seq',
        no,
      );
      const sums = JSON.parse(String(metrics)) as Record<string, { sum: number }>;
      const batch = {
        ...rest,
        policies: JSON.parse(String(policies)),
        accepted: sums.accepted?.sum ?? 0,
        items: read<ItemImage>(
          `select seq, name, status, attempt, result, error_code, json_extract(input, '$.output') as wants_output
            from item_state where batch_no = ? order by seq`,
          no,
        ),
        events: events.map(({ seq, type, data }) => ({ ...JSON.parse(data), seq, type })),
        outputs: read('select id, seq, space, sha256, bytes from file where batch_no = ?', no),
        attempts: read('select seq, attempt, error_code from attempt where batch_no = ?', no),
      } as unknown as BatchImage; // columns have the names and types of the fields
      return [batch.id, batch] as const;
    }),
  );
}
