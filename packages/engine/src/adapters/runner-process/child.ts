/**
 * The program a child process runs: imports one processor module and runs its items, one at a time.
 * It may be handed a row of them, and then tells what became of several in one message.
 *
 * Everything user code can do wrong is caught as far as it can be in the same process; what cannot
 * is the parent's part.
 */
import { writeSync } from 'node:fs';
import { setImmediate } from 'node:timers';
import { setImmediate as nextTick } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import {
  cleanProgress,
  emptyNotes,
  MAX_LOG_BYTES,
  type Notes,
  noteMetric,
} from '../../domain/attempt-notes.ts';
import { failureOf } from '../../domain/failure.ts';
import { resultToJson } from '../../domain/result-json.ts';
import type { Processor, WorkContext } from '../../ports/processor.ts';
import { createWorkContext } from '../work-context.ts';
import { outputPath } from '../work-dir.ts';
import { forgetAllocation } from './allocation.ts';
import { captureOutput } from './capture.ts';
import type { ChildMessage, DoneMessage, ParentMessage } from './messages.ts';
import { BEGUN_BYTES, BEGUN_FD, STRAY_EXIT } from './messages.ts';
import { createNewsGate } from './news-gate.ts';

/** Results of a row wait this long at most for others to be sent with. */
const GATHER_MS = 2;

type RunMessage = Extract<ParentMessage, { do: 'run' }>;

type RowItem = RunMessage['items'][number];

type Current = {
  id: number;
  startedAt: number;
  notes: Notes;
  outputs: Set<string>;
  controller: AbortController | null;
  isStopped: boolean;
  inputPath: string | null;
  logBytes: number;
};

forgetAllocation(process.env);
const channel = takeChannel();
const home = process.cwd();
const memoryLimit = new Float64Array(new SharedArrayBuffer(8));
const processors = new Map<string, Pick<Processor, 'run'>>();
const news = createNewsGate(({ step, percent }) => send({ say: 'news', step, percent }));
let config: WorkContext['config'] = {};
let current: Current | null = null;
/** Items of the row that were not begun yet. */
let row: RowItem[] = [];
let dones: DoneMessage[] = [];
let turnedAt = 0;
const begun = Buffer.alloc(BEGUN_BYTES);
let loading: Promise<boolean> = Promise.resolve(true);

const flushOutput = captureOutput(logLine);
process.on('uncaughtException', endByStrayError);
process.on('disconnect', endWithParent);
// Code of an item may end the process: what others before it have reached is told, and not done again.
process.on('exit', () => flush());
await startWatchdog();
process.on('message', (message: ParentMessage) => {
  if (message.do === 'load') loading = load(message.module);
  else if (message.do === 'run') void runRow(message);
  else {
    giveBack();
    if (current === null || current.id !== message.id) return;
    current.isStopped = true;
    current.controller?.abort();
  }
});

/** All that is said goes by here, in the order it was said. */
function send(message: ChildMessage, sent?: () => void): void {
  flush();
  channel(message, sent);
}

function flush(sent?: () => void): void {
  const list = dones;
  dones = [];
  if (list.length > 0) channel({ say: 'done', list }, sent);
}

/** Keeps the way to the parent for ourselves: user code that sent messages would only confuse it. */
function takeChannel(): (message: ChildMessage, sent?: () => void) => void {
  const toParent = process.send?.bind(process);
  if (toParent === undefined)
    throw new Error('This program is started by Sheaf, with a channel to its parent.');
  Object.defineProperty(process, 'send', { value: undefined });
  return (message, sent) => toParent(message, undefined, undefined, sent);
}

/** Before any user code: an endless loop in a module must not outlive the parent either. */
async function startWatchdog(): Promise<void> {
  const file = import.meta.url.endsWith('.ts') ? './watchdog.ts' : './watchdog.js';
  const watchdog = new Worker(new URL(file, import.meta.url), {
    workerData: { parent_pid: Number(process.argv[2]), limit: memoryLimit },
  });
  watchdog.unref();
  await new Promise((resolve) => watchdog.once('online', resolve));
}

async function load(module: string): Promise<boolean> {
  try {
    const exported: Record<string, unknown> = await import(module);
    for (const value of Object.values(exported)) {
      if (isProcessor(value)) processors.set(value.name, value);
    }
    send({ say: 'loaded' });
    return true;
  } catch (thrown) {
    send({ say: 'unloadable', message: failureOf(thrown, null).error.message });
    return false;
  }
}

async function runRow(message: RunMessage): Promise<void> {
  if (!(await loading)) return;
  if (process.platform !== 'linux') memoryLimit[0] = message.max_memory_bytes;
  if (message.config !== undefined) config = message.config as WorkContext['config'];
  const isNoted = message.items.length > 1;
  row = message.items;
  turnedAt = performance.now();
  for (let item = row.shift(); item !== undefined; item = row.shift()) {
    if (isNoted) noteBegun(item.id);
    await runItem(message.name, item);
    if (row.length > 0 && performance.now() - turnedAt > GATHER_MS) await turn();
  }
}

/** What is in memory dies with this process; a file of the system does not. */
function noteBegun(id: number): void {
  begun.writeDoubleLE(id);
  writeSync(BEGUN_FD, begun, 0, BEGUN_BYTES, 0);
}

/** Between two items: sends results, and hears whether the rest is still wanted here. */
async function turn(): Promise<void> {
  flush();
  await nextTick();
  // Messages are read between two ticks.
  await nextTick();
  turnedAt = performance.now();
}

function giveBack(): void {
  const [first] = row;
  row.length = 0;
  if (first !== undefined) send({ say: 'back', from: first.id });
}

async function runItem(name: string, { id, item, work_dir: workDir }: RowItem): Promise<void> {
  const mine: Current = {
    id,
    startedAt: performance.now(),
    notes: emptyNotes(),
    outputs: new Set(),
    controller: null,
    isStopped: false,
    inputPath: item.file?.path ?? null,
    logBytes: 0,
  };
  current = mine;
  const processor = processors.get(name);
  try {
    if (processor === undefined) throw missing(name);
    finish(mine, await processor.run(item, contextOf(mine, workDir)));
  } catch (thrown) {
    fail(mine, thrown, false);
  }
}

function contextOf(mine: Current, workDir: string): WorkContext {
  const parts = {
    config,
    progress: (step: string, percent?: number) => {
      if (current === mine) news.pass(cleanProgress(step, percent));
    },
    log: (line: string) => {
      if (current === mine) logLine(line);
    },
    metric: (name: string, value: number) => noteMetric(mine.notes, name, value),
    output: (name: string) => outputPath(workDir, mine.outputs, name),
  };
  return createWorkContext(parts, () => {
    mine.controller ??= new AbortController();
    if (mine.isStopped) mine.controller.abort();
    return mine.controller.signal;
  });
}

function finish(mine: Current, value: unknown): void {
  const checked = resultToJson(value);
  if ('problem' in checked) {
    fail(mine, Object.assign(new Error(checked.problem), { code: 'bad_result' }), false);
  } else {
    close(mine, () => ({ ...factsOf(mine), result: checked.json }));
  }
}

function fail(mine: Current, thrown: unknown, isLeaving: boolean, sent?: () => void): void {
  const { error, retry_after_ms } = failureOf(thrown, mine.inputPath);
  close(mine, () => ({ ...factsOf(mine), leaving: isLeaving, error, retry_after_ms }), sent);
}

function factsOf({ id, startedAt, notes, outputs }: Current) {
  return {
    id,
    ms: performance.now() - startedAt,
    ...(notes.metrics === null ? {} : { metrics: notes.metrics }),
    ...(outputs.size === 0 ? {} : { outputs: [...outputs] }),
  };
}

function close(mine: Current, message: () => DoneMessage, sent?: () => void): void {
  if (current !== mine) return;
  // Lines that the metrics left; all others were sent when they were said.
  for (const line of mine.notes.lines ?? []) logLine(line);
  flushOutput();
  current = null;
  news.drop();
  if (process.cwd() !== home) process.chdir(home);
  dones.push(message());
  // At the end of the row, or when the next item lets others run: whichever comes first.
  if (row.length === 0 || sent !== undefined) flush(sent);
  else if (dones.length === 1) setImmediate(flush);
}

/** Sends a line at once: what a crashing item said last is what is looked for. */
function logLine(line: unknown): void {
  if (current === null || current.logBytes > MAX_LOG_BYTES) return;
  const text = typeof line === 'string' ? line.slice(0, MAX_LOG_BYTES) : String(line);
  current.logBytes += text.length + 1;
  send({ say: 'log', lines: [text] });
}

/**
 * An error outside of any run: a timer, a promise nobody awaits. It ends the item that runs and this
 * child; the process may be in any state.
 */
function endByStrayError(thrown: unknown): void {
  if (current === null) {
    flush();
    process.exit(STRAY_EXIT);
  }
  row.length = 0;
  fail(current, thrown, true, () => process.exit(1));
}

function endWithParent(): void {
  process.kill(process.platform === 'win32' ? process.pid : -process.pid, 'SIGKILL');
}

function isProcessor(value: unknown): value is Processor {
  return (
    typeof value === 'object' &&
    value !== null &&
    'name' in value &&
    typeof value.name === 'string' &&
    'run' in value &&
    typeof value.run === 'function'
  );
}

function missing(name: string): Error {
  return Object.assign(new Error(`The module exports no processor named "${name}".`), {
    code: 'bad_processor',
  });
}
