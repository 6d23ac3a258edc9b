import type { LeaseAnswer, LeasedItem, Outcome, RecordAnswer, RecordRequest } from '../../ports/leasing.ts';
import type { NewItemRow } from '../../ports/store.ts';
import { firstOfEach } from './first-of-each.ts';
import type { Call } from './thread-messages.ts';

/**
 * Rows cross between threads by column: a message names the fields of every object it holds, which
 * costs four times what the values cost. Only the methods that carry rows by the hundred do this;
 * everything else passes as it is.
 */
export function packArgs(method: Call['method'], args: unknown[]): unknown[] {
  // The method says what its arguments are; the same holds below.
  if (method === 'record') return [(args[0] as RecordRequest[]).map(packRequest), ...args.slice(1)];
  if (method === 'append') return [args[0], packRows(args[1] as NewItemRow[])];
  return args;
}

export function unpackArgs(method: Call['method'], args: unknown[]): unknown[] {
  if (method === 'record') return [(args[0] as PackedRequest[]).map(unpackRequest), ...args.slice(1)];
  if (method === 'append') return [args[0], unpackRows(args[1] as PackedRows)];
  return args;
}

export function packAnswer(method: Call['method'], answer: unknown): unknown {
  if (method === 'record')
    return (answer as RecordAnswer[]).map((each) => withItems(each, packItems(each.items)));
  if (method !== 'lease') return answer;
  const { lease } = answer as { lease?: { items: LeasedItem[] } };
  return lease === undefined ? answer : { lease: withItems(lease, packItems(lease.items)) };
}

export function unpackAnswer(method: Call['method'], answer: unknown): unknown {
  if (method === 'record') {
    type Packed = { items: PackedItems };
    return (answer as Packed[]).map((each) => withItems(each, unpackItems(each.items)));
  }
  if (method !== 'lease') return answer;
  const { lease } = answer as { lease?: { items: PackedItems } };
  return lease === undefined
    ? (answer as LeaseAnswer)
    : { lease: withItems(lease, unpackItems(lease.items)) };
}

function withItems<T extends object, Items>(holder: T, items: Items): Omit<T, 'items'> & { items: Items } {
  return { ...holder, items };
}

type Text = string | null;

type PackedRows = { name: Text[]; key: Text[]; input: Text[]; file_id: Text[] };

function packRows(rows: readonly NewItemRow[]): PackedRows {
  return {
    name: rows.map((row) => row.name),
    key: rows.map((row) => row.key),
    input: rows.map((row) => row.input),
    file_id: rows.map((row) => row.file_id),
  };
}

function unpackRows({ name, key, input, file_id }: PackedRows): NewItemRow[] {
  return name.map((each, index) => ({
    name: each,
    key: key[index] ?? null,
    input: input[index] ?? null,
    file_id: file_id[index] ?? null,
  }));
}

type PackedItems = {
  /** Those without a file. */
  seq: number[];
  name: Text[];
  key: Text[];
  input: Text[];
  attempt: number[];
  last_attempt: number[];
  priority: number[];
  config_no: number[];
  others: LeasedItem[];
};

function packItems(items: readonly LeasedItem[]): PackedItems {
  const plain = items.filter((item) => item.file === null);
  return {
    seq: plain.map((item) => item.seq),
    name: plain.map((item) => item.name),
    key: plain.map((item) => item.key),
    input: plain.map((item) => item.input),
    attempt: plain.map((item) => item.attempt),
    last_attempt: plain.map((item) => item.last_attempt),
    priority: plain.map((item) => item.priority),
    config_no: plain.map((item) => item.config_no),
    others: items.filter((item) => item.file !== null),
  };
}

function unpackItems(packed: PackedItems): LeasedItem[] {
  const { seq, name, key, input, attempt, last_attempt, priority, config_no, others } = packed;
  const items = seq.map((each, index) => ({
    seq: each,
    name: name[index] ?? null,
    key: key[index] ?? null,
    input: input[index] ?? null,
    file: null,
    // All columns are of one length.
    attempt: attempt[index] as number,
    last_attempt: last_attempt[index] as number,
    priority: priority[index] as number,
    config_no: config_no[index] as number,
  }));
  if (others.length === 0) return items;
  // A lease runs its items in their order, with a file or without.
  return [...items, ...others].sort((a, b) => a.seq - b.seq);
}

type PackedRequest = Omit<RecordRequest, 'outcomes'> & { outcomes: PackedOutcomes };

type PackedOutcomes = {
  /** Those that completed and have nothing but a result to tell. */
  seq: number[];
  attempt: number[];
  config_no: number[];
  result: Text[];
  bytes: number[];
  started_at: number[];
  duration_ms: number[];
  others: Outcome[];
};

function packRequest(request: RecordRequest): PackedRequest {
  const firsts = firstOfEach(request.outcomes);
  const plain = firsts.filter(isPlain);
  const outcomes = {
    seq: plain.map((outcome) => outcome.seq),
    attempt: plain.map((outcome) => outcome.attempt),
    config_no: plain.map((outcome) => outcome.config_no),
    result: plain.map((outcome) => outcome.result),
    bytes: plain.map((outcome) => outcome.bytes),
    started_at: plain.map((outcome) => outcome.started_at),
    duration_ms: plain.map((outcome) => outcome.duration_ms),
    others: firsts.filter((outcome) => !isPlain(outcome)),
  };
  return { ...request, outcomes };
}

function isPlain({ status, metrics, outputs, log }: Outcome): boolean {
  return status === 'completed' && metrics === null && outputs === null && log === null;
}

function unpackRequest(request: PackedRequest): RecordRequest {
  const { seq, attempt, config_no, result, bytes, started_at, duration_ms, others } = request.outcomes;
  const outcomes: Outcome[] = seq.map((each, index) => ({
    seq: each,
    // All columns are of one length.
    attempt: attempt[index] as number,
    status: 'completed',
    result: result[index] ?? null,
    error: null,
    cause: null,
    retry: null,
    config_no: config_no[index] as number,
    metrics: null,
    outputs: null,
    log: null,
    bytes: bytes[index] as number,
    started_at: started_at[index] as number,
    duration_ms: duration_ms[index] as number,
  }));
  return { ...request, outcomes: others.length === 0 ? outcomes : [...outcomes, ...others] };
}
