type BatchRow = {
  no: number;
  id: string;
  status: string;
  epoch: number;
  leased_width: number;
  canary_to: number | null;
  canary_left: number;
  cancelled_items: number;
  completed_items: number;
  failed_items: number;
  total_items: number;
  hidden_at: number | null;
};
type ItemRow = { batch_no: number; seq: number; status: string | null; attempt: number };
type FailureRow = { batch_no: number; seq: number; attempt: number };
type RangeRow = {
  batch_no: number;
  from_seq: number;
  to_seq: number;
  attempt: number;
  last_attempt: number;
  token: string | null;
  items: number | null;
};
type LeaseRow = { batch_no: number; token: string; epoch: number; width: number; left: number };

/** Rows of one table, all of them or those of a batch, as the database has them. */
export type ReadRows = (
  table: 'batch' | 'item' | 'attempt' | 'failure' | 'range' | 'lease',
) => Promise<unknown[]>;

/**
 * Looks at the ranges of a store through a connection of its own, item by item and without any of
 * the Store's queries: `checkInvariants` could share a mistake with what it checks.
 */
export async function coverProblems(read: ReadRows): Promise<string[]> {
  // The columns are those of the schema; what is wrong in them is what is looked for.
  const batches = (await read('batch')) as BatchRow[];
  const [items, attempts, failures, ranges, leases] = [
    Map.groupBy((await read('item')) as ItemRow[], ofBatch),
    Map.groupBy((await read('attempt')) as ItemRow[], ofBatch),
    Map.groupBy((await read('failure')) as FailureRow[], ofBatch),
    Map.groupBy((await read('range')) as RangeRow[], ofBatch),
    Map.groupBy((await read('lease')) as LeaseRow[], ofBatch),
  ];
  return batches
    .filter(({ hidden_at }) => hidden_at === null)
    .flatMap((batch) => {
      const its = <Row>(rows: Map<number, Row[]>) => rows.get(batch.no) ?? [];
      const { states, problems } = statesOf(its(items), its(attempts), its(failures));
      problems.push(...checkBatch(batch, states, its(ranges), its(leases)));
      return problems.map((problem) => `${batch.id}: ${problem}`);
    });
}

/** What became of each item: it says so itself or, once an attempt of it has a row, the last of them does. */
function statesOf(
  items: ItemRow[],
  attempts: ItemRow[],
  failures: FailureRow[],
): { states: ItemRow[]; problems: string[] } {
  const problems: string[] = [];
  const [tries, failed] = [
    Map.groupBy(attempts, ({ seq }) => seq),
    new Map(failures.map((row) => [row.seq, row])),
  ];
  const states = items.map((item) => {
    const rows = (tries.get(item.seq) ?? []).sort((a, b) => a.attempt - b.attempt);
    const failure = failed.get(item.seq);
    tries.delete(item.seq);
    failed.delete(item.seq);
    const last = rows.at(-1);
    if (last === undefined) {
      if (failure !== undefined) problems.push(`item ${item.seq} is failed and was never tried`);
      return item;
    }
    if (item.status !== null) problems.push(`item ${item.seq} has an outcome of its own beside its attempts`);
    if (item.attempt === 0) problems.push(`item ${item.seq} does not say that it has attempts`);
    if (rows.some((row) => row !== last && row.status === 'completed'))
      problems.push(`item ${item.seq} was tried after it was completed`);
    if (failure !== undefined && (last.status !== 'failed' || last.attempt !== failure.attempt))
      problems.push(`item ${item.seq} is failed by an attempt that is not its last`);
    const status = failure === undefined ? null : 'failed';
    return { ...item, attempt: last.attempt, status: last.status === 'completed' ? 'completed' : status };
  });
  for (const seq of [...tries.keys(), ...failed.keys()])
    problems.push(`item ${seq} has attempts and does not exist`);
  return { states, problems };
}

function ofBatch({ batch_no }: { batch_no: number }): number {
  return batch_no;
}

function checkBatch(batch: BatchRow, items: ItemRow[], ranges: RangeRow[], leases: LeaseRow[]): string[] {
  const problems: string[] = [];
  const open = items.filter(({ status }) => status === null);
  const covers = (range: RangeRow, { seq, attempt, status }: ItemRow) =>
    status === null && range.from_seq <= seq && seq <= range.to_seq && attempt < range.attempt;
  const coverOf = (item: ItemRow) => ranges.filter((range) => covers(range, item));

  const count = (status: string) => items.filter((item) => item.status === status).length;
  const counted = [items.length, count('completed'), count('failed')].join();
  const said = [batch.total_items, batch.completed_items, batch.failed_items].join();
  if (counted !== said) problems.push(`the counters say ${said}, a recount ${counted}`);

  for (const item of open) {
    if (coverOf(item).length > 1) problems.push(`item ${item.seq} is covered ${coverOf(item).length} times`);
  }
  for (const range of ranges) {
    const covered = open.filter((item) => covers(range, item)).length;
    const name = `${range.token === null ? 'free' : 'held'} range ${range.from_seq}–${range.to_seq}`;
    const size = range.items ?? range.to_seq - range.from_seq + 1;
    const begins = open.some((item) => item.seq === range.from_seq && covers(range, item));
    const isLoose = range.token === null && (covered !== size || !begins);
    if (isLoose && batch.status !== 'cancelled') problems.push(`the ${name} covers only ${covered} items`);
    if (range.attempt > range.last_attempt) problems.push(`the ${name} has no attempt left`);
    if (range.token !== null && !leases.some(({ token }) => token === range.token)) {
      problems.push(`the ${name} belongs to no lease`);
    }
  }
  // What a cancel leaves behind covers items that are cancelled already; it is void by its epoch.
  if (batch.status !== 'cancelled') {
    const uncovered = open.filter((item) => coverOf(item).length === 0).length;
    if (uncovered !== batch.cancelled_items) {
      problems.push(`nothing covers ${uncovered} items, cancelled_items says ${batch.cancelled_items}`);
    }
    const end = batch.canary_to;
    const inCanary =
      end === null ? 0 : open.filter((item) => item.seq <= end && coverOf(item).length > 0).length;
    if (inCanary !== batch.canary_left)
      problems.push(`canary_left says ${batch.canary_left}, a recount ${inCanary}`);
  }
  return [...problems, ...checkLeases(batch, open, ranges, leases, covers)];
}

function checkLeases(
  batch: BatchRow,
  open: ItemRow[],
  ranges: RangeRow[],
  leases: LeaseRow[],
  covers: (range: RangeRow, item: ItemRow) => boolean,
): string[] {
  const problems: string[] = [];
  const live = leases.filter(({ epoch }) => epoch === batch.epoch);
  for (const { token, left, width } of live) {
    const held = ranges.filter((range) => range.token === token);
    const covered = open.filter((item) => held.some((range) => covers(range, item))).length;
    if (covered !== left) problems.push(`the lease ${token} says ${left} left, a recount ${covered}`);
    if (covered === 0) problems.push(`the lease ${token} holds nothing`);
    if (width > left) problems.push(`the lease ${token} is ${width} wide with ${left} left`);
  }
  const width = live.reduce((sum, lease) => sum + lease.width, 0);
  if (width !== batch.leased_width)
    problems.push(`leased_width says ${batch.leased_width}, the leases ${width}`);
  const isActive = ['queued', 'running', 'paused'].includes(batch.status);
  if (!isActive && live.length > 0) problems.push(`a ${batch.status} batch has ${live.length} live leases`);
  if (
    !isActive &&
    batch.status !== 'draft' &&
    batch.status !== 'cancelled' &&
    batch.status !== 'awaiting_approval'
  ) {
    if (ranges.length > 0) problems.push(`a ${batch.status} batch has ${ranges.length} ranges`);
  }
  return problems;
}
