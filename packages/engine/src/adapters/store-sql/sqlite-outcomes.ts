import type { StatementSync } from 'node:sqlite';
import type { Outcome } from '../../ports/leasing.ts';
import type { OutcomeLease } from './dialect.ts';

/** Nearly every outcome: the first attempt completed its item. */
const COMPLETE = `update item set status = 'completed', attempt = 1, config_no = ?, result = ?, metrics = ?,
  started_at = ?, duration_ms = ?, finished_at = ?
  where batch_no = ? and seq = ? and status is null and attempt = 0`;

/** Only an item without an attempt takes the mark that from now on its attempts speak for it. */
const MARK = 'update item set attempt = ? where batch_no = ? and seq = ? and status is null and attempt = 0';

const ATTEMPT = `insert into attempt (attempt, status, config_no, result, error_kind, error_code, error_message,
  metrics, started_at, duration_ms, finished_at, worker, batch_no, seq)
  values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;

const FAILURE = 'insert into failure (batch_no, seq, attempt, cause) values (?, ?, ?, ?)';

const LAST_ATTEMPT =
  'select attempt, status from attempt where batch_no = ? and seq = ? order by attempt desc limit 1';

type Last = [attempt: number, status: string];

/** A prepared loop: an update joined with json_each is quadratic in SQLite. */
export function writeOutcomes(
  prepare: (text: string) => StatementSync,
  { batch_no, worker }: OutcomeLease,
  outcomes: readonly Outcome[],
  now: number,
): boolean[] {
  const change = (statement: StatementSync, ...values: (string | number | null)[]) =>
    statement.run(...values).changes === 1;
  const [complete, mark] = [prepare(COMPLETE), prepare(MARK)];
  const [last, add] = [prepare(LAST_ATTEMPT), prepare(ATTEMPT)];
  const fail = prepare(FAILURE);
  // Rows as lists, which take half the time of rows as objects.
  last.setReturnArrays(true);
  return outcomes.map((outcome) => {
    const { seq, attempt, status, config_no, result, error, cause, started_at, duration_ms } = outcome;
    const metrics = outcome.metrics === null ? null : JSON.stringify(outcome.metrics);
    const times = [started_at, duration_ms, now];
    if (attempt === 1 && status === 'completed') {
      return change(complete, config_no, result, metrics, ...times, batch_no, seq);
    }
    // The columns are those of the statement.
    const before = attempt === 1 ? undefined : (last.get(batch_no, seq) as unknown as Last | undefined);
    const isNext =
      before === undefined
        ? change(mark, attempt, batch_no, seq)
        : before[1] !== 'completed' && before[0] < attempt;
    if (!isNext) return false;
    const { kind = null, code = null, message = null } = error ?? {};
    const by = status === 'completed' ? null : worker;
    const said = [attempt, status, config_no, result, kind, code, message, metrics, ...times, by];
    add.run(...said, batch_no, seq);
    if (status === 'failed') fail.run(batch_no, seq, attempt, cause);
    return true;
  });
}
