import { errorCode, type Failure, type Json, makeId } from '@sheaf/protocol';
import mime from 'mime';
import type { Chance, Clock } from '../ports/clock.ts';
import type { Files } from '../ports/files.ts';
import type { LeasedBatch, LeasedItem, OutputRow } from '../ports/leasing.ts';
import type { Processor, WorkItem } from '../ports/processor.ts';
import type { RunNews, Runner, RunOutput, RunResult } from '../ports/runner.ts';

/** What became of one try, before it is decided what follows. */
export type Ended = {
  item: LeasedItem;
  started_at: number;
  duration_ms: number;
  result: string | null;
  failure: { error: Failure; retry_after_ms: number | null } | null;
  metrics: Record<string, number> | null;
  outputs: OutputRow[] | null;
  log: string | null;
  /** No outcome: it was broken off, or the disk had no room for what it made. The item goes back unburned. */
  isVoid: boolean;
};

export type AttemptContext = {
  batch: LeasedBatch;
  processor: Processor;
  config: Json;
  /** The lease's own folder: outputs lie under its token until they are recorded. */
  work_dir: string;
  signal: AbortSignal;
};

type Tools = {
  runner: Runner;
  files: Files;
  clock: Clock;
  chance: Chance;
  /** Told of a full disk; answers whether it is ours, so that the item is not to blame. */
  onDiskFull: () => Promise<boolean>;
};

type Said = Omit<Ended, 'item' | 'started_at' | 'duration_ms' | 'isVoid'>;

/**
 * Runs one item and keeps its outputs. The bytes of outputs are stored before the outcome names
 * them: a crash in between leaves a file that nobody knows, never a completed item without its file.
 *
 * Never rejects: whatever goes wrong is what became of the attempt.
 */
export async function runAttempt(
  tools: Tools,
  context: AttemptContext,
  item: LeasedItem,
  onNews: (news: RunNews) => void,
): Promise<Ended> {
  const startedAt = tools.clock.now();
  const from = performance.now();
  let said: Said;
  try {
    said = await run(tools, context, item, onNews);
  } catch (error) {
    // A mistake of ours; the item must not hang on it.
    said = failedBy('internal', `The attempt could not be made: ${messageOf(error)}`);
  }
  const { result, failure, metrics, outputs, log } = said;
  return {
    item,
    started_at: startedAt,
    duration_ms: Math.round(performance.now() - from),
    result,
    failure,
    metrics,
    outputs,
    log,
    isVoid: failure !== null && (await isNoOutcome(tools, failure.error)),
  };
}

async function isNoOutcome(tools: Tools, { kind, code }: Failure): Promise<boolean> {
  return kind === 'cancelled' || (code === 'storage_full' && (await tools.onDiskFull()));
}

async function run(
  tools: Tools,
  context: AttemptContext,
  item: LeasedItem,
  onNews: (news: RunNews) => void,
): Promise<Said> {
  const { batch } = context;
  let input: { path: string; release: () => Promise<void> } | null = null;
  try {
    if (item.file !== null) input = await tools.files.local(batch.space, item.file.sha256);
  } catch (error) {
    return failedBy('input_unreadable', `The input file cannot be read: ${messageOf(error)}`);
  }
  try {
    const task = {
      processor: context.processor,
      config: context.config,
      item: workItem(batch, item, input?.path ?? null),
      timeout_ms: batch.policies.item_timeout_ms,
      work_dir: `${context.work_dir}/${item.seq}-${item.attempt}`,
    };
    const result = await tools.runner.run(task, { signal: context.signal, onNews });
    return result.ok && result.outputs.length > 0 ? await keep(tools, batch.space, result) : saidBy(result);
  } finally {
    // Every wait costs a fast item something: most have no file.
    if (input !== null) await input.release();
  }
}

function saidBy(result: RunResult): Said {
  const { metrics, log } = result;
  if (result.ok) return { result: result.result, failure: null, metrics, outputs: null, log };
  const { error, retry_after_ms } = result;
  return { result: null, failure: { error, retry_after_ms }, metrics, outputs: null, log };
}

async function keep(tools: Tools, space: string, result: RunResult & { ok: true }): Promise<Said> {
  try {
    return { ...saidBy(result), outputs: await keepOutputs(tools, space, result.outputs) };
  } catch (error) {
    const { metrics, log } = result;
    const code = errorCode(error) === 'storage_full' ? 'storage_full' : 'output_not_stored';
    return { ...failedBy(code, `An output could not be stored: ${messageOf(error)}`), metrics, log };
  }
}

function failedBy(code: string, message: string): Said {
  const error: Failure = { kind: 'retryable', code, message };
  return { result: null, failure: { error, retry_after_ms: null }, metrics: null, outputs: null, log: null };
}

async function keepOutputs(tools: Tools, space: string, outputs: readonly RunOutput[]): Promise<OutputRow[]> {
  const rows: OutputRow[] = [];
  for (const { name, path } of outputs) {
    const stored = await tools.files.adopt(space, path);
    const id = makeId('fil', tools.clock.now(), tools.chance.bytes(10));
    rows.push({ id, name, ...stored, media_type: mime.getType(name) ?? 'application/octet-stream' });
  }
  return rows;
}

function workItem(batch: LeasedBatch, item: LeasedItem, path: string | null): WorkItem {
  return {
    batch_id: batch.id,
    seq: item.seq,
    name: item.name ?? item.key ?? `item-${item.seq}`,
    key: item.key,
    input: item.input === null ? null : (JSON.parse(item.input) as Json),
    attempt: item.attempt,
    file: item.file === null || path === null ? null : { path, ...item.file },
  };
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 500);
}
