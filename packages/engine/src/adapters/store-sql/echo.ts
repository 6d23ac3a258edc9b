import type { Outcome } from '../../ports/leasing.ts';
import type { Write } from './session.ts';

type Known = { seq: number; attempt: number; started_at: number | null; duration_ms: number | null };

/**
 * How many of these outcomes are in the database already, as they are: told by the attempt and by when
 * it started and how long it took. The attempt's number alone would not do: an item that went back
 * unburned is tried again under the same number, by somebody else.
 */
export async function findEchoes(tx: Write, batchNo: number, outcomes: readonly Outcome[]): Promise<number> {
  const seqs = outcomes.map((outcome) => outcome.seq);
  const items: Known[] = await tx.db
    .selectFrom('item')
    .select(['seq', 'attempt', 'started_at', 'duration_ms'])
    .where('batch_no', '=', batchNo)
    .where(tx.dialect.isIn('seq', seqs))
    .execute();
  const attempts: Known[] = await tx.db
    .selectFrom('attempt')
    .select(['seq', 'attempt', 'started_at', 'duration_ms'])
    .where('batch_no', '=', batchNo)
    .where(tx.dialect.isIn('seq', seqs))
    .execute();
  const known = new Set([...items, ...attempts].map(sign));
  return outcomes.filter((outcome) => known.has(sign(outcome))).length;
}

function sign({ seq, attempt, started_at, duration_ms }: Known): string {
  return `${seq}/${attempt}/${started_at}/${duration_ms}`;
}
