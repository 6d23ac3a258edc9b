import { errorCode, type Failure, type Json } from '@sheaf/protocol';
import type { Clock } from '../ports/clock.ts';
import type { Files } from '../ports/files.ts';
import type { LeasedBatch, LeasedItem, OutputRow } from '../ports/leasing.ts';
import type { Processor, WorkItem } from '../ports/processor.ts';
import type { RunNews, Runner, RunResult, RunTask } from '../ports/runner.ts';
import type { KeepOutputs } from './keep-outputs.ts';

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
  /** No outcome: it was broken off, or the files' place had no room or did not answer. The item goes back unburned. */
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

/** One context for all items with the same config: a child is sent each config once. */
export function createContexts(
  common: Omit<AttemptContext, 'config'>,
  configs: Readonly<Record<number, Json>>,
): (configNo: number) => AttemptContext {
  const contexts = new Map<number, AttemptContext>();
  return (configNo) => {
    const known = contexts.get(configNo);
    if (known !== undefined) return known;
    const context = { ...common, config: configs[configNo] ?? {} };
    contexts.set(configNo, context);
    return context;
  };
}

type Tools = {
  runner: Runner;
  files: Files;
  clock: Clock;
  keepOutputs: KeepOutputs;
  /** Told of a full disk; answers whether it is ours, so that the item is not to blame. */
  onDiskFull(): Promise<boolean>;
};

/** Whether a slot may get several items at once: only where a child runs them, and where they may run twice. */
export function mayRunInRows({ isolation, idempotent }: Processor): boolean {
  return isolation === 'process' && idempotent;
}

type Said = Omit<Ended, 'item' | 'started_at' | 'duration_ms' | 'isVoid'> & {
  /** The place of the files does not answer just now, or has no room: nothing that an item could be blamed for. */
  isAway?: boolean;
};

/** Who wants to know how items fare. */
export type AttemptWatch = {
  onNews(item: LeasedItem, news: RunNews): void;
  /** Called once for each item that was begun, perhaps after its slot is free: its outputs are stored meanwhile. */
  onEnded(ended: Ended): void;
};

/**
 * Runs items in one slot, one after the other, and keeps their outputs. The bytes of outputs are
 * stored before the outcome names them: a crash in between leaves a file that nobody knows, never a
 * completed item without its file.
 *
 * Never rejects: whatever goes wrong is what became of the attempt.
 *
 * @param items Several only where they may run twice: see `Runner.runRow`.
 * @returns The items that go back unburned, when the slot is free.
 */
export function runAttempts(
  tools: Tools,
  context: AttemptContext,
  items: readonly LeasedItem[],
  watch: AttemptWatch,
): Promise<readonly LeasedItem[]> {
  const [first] = items;
  // By itself, as most are: lists and waits cost a fast item more than its handler.
  if (items.length === 1 && first !== undefined) return runOne(tools, context, first, watch);
  return runRow(tools, context, items, watch);
}

const NONE: readonly LeasedItem[] = [];

type Attempt = {
  item: LeasedItem;
  input: { path: string; release: () => Promise<void> } | null;
  from: number;
  started_at: number;
  /** Set when the handler has ended and its outputs are being stored. */
  ran_ms: number | null;
  isOver: boolean;
};

function begin(tools: Tools, item: LeasedItem): Attempt {
  const from = performance.now();
  return { item, input: null, from, started_at: tools.clock.now(), ran_ms: null, isOver: false };
}

async function runOne(
  tools: Tools,
  context: AttemptContext,
  item: LeasedItem,
  watch: AttemptWatch,
): Promise<readonly LeasedItem[]> {
  const attempt = begin(tools, item);
  try {
    if (item.file !== null) await openInput(tools, context, attempt, watch);
    if (attempt.isOver) return NONE;
    const result = await tools.runner.run(taskOf(context, attempt), {
      signal: context.signal,
      onNews: (news) => watch.onNews(item, news),
    });
    const ending = over(tools, context, attempt, result, watch);
    if (ending !== undefined) await ending;
  } catch (error) {
    await endByMistake(tools, attempt, error, watch);
  }
  return NONE;
}

async function runRow(
  tools: Tools,
  context: AttemptContext,
  items: readonly LeasedItem[],
  watch: AttemptWatch,
): Promise<readonly LeasedItem[]> {
  const attempts = items.map((item) => begin(tools, item));
  try {
    for (const attempt of attempts) {
      if (attempt.item.file !== null) await openInput(tools, context, attempt, watch);
    }
    await runTogether(tools, context, attempts, watch);
  } catch (error) {
    for (const attempt of attempts) await endByMistake(tools, attempt, error, watch);
  }
  return attempts.filter(({ isOver }) => !isOver).map(({ item }) => item);
}

/** A mistake of ours; the item must not hang on it. */
async function endByMistake(
  tools: Tools,
  attempt: Attempt,
  error: unknown,
  watch: AttemptWatch,
): Promise<void> {
  if (attempt.isOver) return;
  await end(
    tools,
    attempt,
    failedBy('internal', `The attempt could not be made: ${messageOf(error)}`),
    watch,
  );
}

async function openInput(
  tools: Tools,
  { batch }: AttemptContext,
  attempt: Attempt,
  watch: AttemptWatch,
): Promise<void> {
  try {
    attempt.input = await tools.files.local(batch.space, attempt.item.file?.sha256 ?? '');
  } catch (error) {
    const said = failedBy('input_unreadable', `The input file cannot be read: ${messageOf(error)}`);
    await end(tools, attempt, { ...said, isAway: isAway(error) }, watch);
  }
}

async function runTogether(
  tools: Tools,
  context: AttemptContext,
  all: readonly Attempt[],
  watch: AttemptWatch,
): Promise<void> {
  const attempts = all.filter(({ isOver }) => !isOver);
  const tasks = attempts.map((attempt) => taskOf(context, attempt));
  const ending: (Promise<void> | undefined)[] = [];
  await tools.runner.runRow?.(tasks, {
    signal: context.signal,
    onNews(index, news) {
      const attempt = attempts[index];
      if (attempt !== undefined) watch.onNews(attempt.item, news);
    },
    onResult(index, result, ranMs) {
      const attempt = attempts[index];
      if (attempt === undefined) return;
      // It had to wait for those before it.
      const waited = Math.max(0, performance.now() - attempt.from - ranMs);
      attempt.from += waited;
      attempt.started_at += Math.round(waited);
      ending.push(over(tools, context, attempt, result, watch));
    },
  });
  await Promise.all(ending);
  for (const attempt of attempts) if (!attempt.isOver) await release(attempt);
}

/** The handler has ended. Its slot waits for what the outcome means, but not until outputs are stored. */
function over(
  tools: Tools,
  context: AttemptContext,
  attempt: Attempt,
  result: RunResult,
  watch: AttemptWatch,
): Promise<void> | undefined {
  if (!result.ok || result.outputs.length === 0) return end(tools, attempt, saidBy(result), watch);
  attempt.isOver = true;
  attempt.ran_ms = performance.now() - attempt.from;
  void keep(tools, context, result).then((said) => end(tools, attempt, said, watch));
  return undefined;
}

/** At once where nothing is to be waited for, as with most items: every wait costs a fast one something. */
function end(tools: Tools, attempt: Attempt, said: Said, watch: AttemptWatch): Promise<void> | undefined {
  attempt.isOver = true;
  const { item, input, started_at, ran_ms, from } = attempt;
  const { result, failure, metrics, outputs, log } = said;
  const durationMs = Math.round(ran_ms ?? performance.now() - from);
  const tell = (isVoid: boolean) =>
    watch.onEnded({
      item,
      started_at,
      duration_ms: durationMs,
      result,
      failure,
      metrics,
      outputs,
      log,
      isVoid,
    });
  if (input !== null || failure !== null) return settle(tools, attempt, said).then(tell);
  tell(false);
  return undefined;
}

/** Lets go of the input; answers whether the item goes back without an outcome. */
async function settle(tools: Tools, attempt: Attempt, { failure, isAway }: Said): Promise<boolean> {
  if (attempt.input !== null) await release(attempt);
  if (isAway === true) return true;
  // A question that cannot be answered is no reason to keep its slot for ever.
  return failure !== null && isNoOutcome(tools, failure.error).catch(() => false);
}

/** A copy that cannot be removed is no failure of the item. */
async function release({ input }: Attempt): Promise<void> {
  await input?.release().catch(() => undefined);
}

function isAway(error: unknown): boolean {
  return errorCode(error) === 'store_unavailable';
}

async function isNoOutcome(tools: Tools, { kind, code }: Failure): Promise<boolean> {
  return kind === 'cancelled' || (code === 'storage_full' && (await tools.onDiskFull()));
}

function taskOf({ batch, processor, config, work_dir }: AttemptContext, { item, input }: Attempt): RunTask {
  return {
    processor,
    config,
    item: workItem(batch, item, input?.path ?? null),
    timeout_ms: batch.policies.item_timeout_ms,
    work_dir: `${work_dir}/${item.seq}-${item.attempt}`,
  };
}

function saidBy(result: RunResult): Said {
  const { metrics, log } = result;
  if (result.ok) return { result: result.result, failure: null, metrics, outputs: null, log };
  const { error, retry_after_ms } = result;
  return { result: null, failure: { error, retry_after_ms }, metrics, outputs: null, log };
}

async function keep(
  tools: Tools,
  { batch, signal }: AttemptContext,
  result: RunResult & { ok: true },
): Promise<Said> {
  const { outputs, metrics, log } = result;
  try {
    return { ...saidBy(result), outputs: await tools.keepOutputs({ space: batch.space, outputs, signal }) };
  } catch (error) {
    const said = failedBy('output_not_stored', `An output could not be stored: ${messageOf(error)}`);
    return { ...said, metrics, log, isAway: isAway(error) || errorCode(error) === 'storage_full' };
  }
}

function failedBy(code: string, message: string): Said {
  const error: Failure = { kind: 'retryable', code, message };
  return { result: null, failure: { error, retry_after_ms: null }, metrics: null, outputs: null, log: null };
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
