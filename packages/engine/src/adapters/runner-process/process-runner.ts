import {
  cleanProgress,
  emptyNotes,
  logText,
  type Notes,
  noteLine,
  noteMetric,
} from '../../domain/attempt-notes.ts';
import { type Failed, failed, stopped } from '../../domain/failure.ts';
import type { RunNews, Runner, RunResult, RunTask } from '../../ports/runner.ts';
import { collectOutputs, MAX_OUTPUT_BYTES, removeWorkDir } from '../work-dir.ts';
import type { Death } from './child-handle.ts';
import { createChildPool, type PooledChild } from './child-pool.ts';
import { type Done, OUT_OF_MEMORY_MARK, parseDone, STRAY_EXIT } from './messages.ts';

/** How late a timeout or an abort may reach a child. */
const TICK_MS = 25;
const IDLE_TICK_MS = 1_000;
/** Children are measured at every eighth tick. */
const MEASURE_TICKS = 8;
/** How long a child may take to start and to import its module. */
const LOAD_MS = 60_000;
/** How long a killed child is waited for; one stuck in the kernel cannot be killed. */
const DEATH_MS = 5_000;

export type ProcessRunnerOptions = {
  /** Items that run at the same time, each in a child of its own. */
  max_children: number;
  /** Children kept ready beside them. @default 1 */
  spare?: number;
  /** Items after which a child is replaced, if it is five seconds old by then. @default 10000 */
  max_items_per_child?: number;
  /** How long an item may go on after its abort before its child is killed. @default 2000 */
  grace_ms?: number;
  /** How long an idle child is kept warm. @default 60000 */
  idle_ms?: number;
  /** @default 10 GiB */
  max_output_bytes?: number;
  /** Environment of the children, beside an allow-list (paths and language). @default {} */
  env?: Readonly<Record<string, string>>;
  /** More arguments for Node in the children, as `--max-old-space-size=8192`. @default [] */
  exec_argv?: readonly string[];
};

type Run = {
  id: number;
  task: RunTask;
  signal: AbortSignal | null;
  onNews: (news: RunNews) => void;
  settle: (result: RunResult) => void;
  notes: Notes;
  deadline: number;
  stop: 'timeout' | 'cancelled' | null;
  killAt: number;
  killedFor: 'stop' | 'memory' | 'load' | null;
  isSecondTry: boolean;
};

/**
 * Runs each item in a child process: for native code and code of users.
 *
 * Whatever the code does ends as data: an endless loop, a crash, `process.exit`, too much memory. A
 * timeout or an abort is told first; after `grace_ms` the child is killed with all it started.
 * Children die with this process, even in an endless loop. Resident memory is watched every 200 ms,
 * so a child may be over its limit for that long.
 */
export function createProcessRunner(options: ProcessRunnerOptions): Runner {
  const graceMs = options.grace_ms ?? 2_000;
  const maxOutputBytes = options.max_output_bytes ?? MAX_OUTPUT_BYTES;
  const waiting: Run[] = [];
  const running = new Map<PooledChild, Run>();
  const pool = createChildPool(
    {
      max_children: options.max_children,
      spare: options.spare ?? 1,
      max_items_per_child: options.max_items_per_child ?? 10_000,
      idle_ms: options.idle_ms ?? 60_000,
      env: options.env ?? {},
      exec_argv: options.exec_argv ?? [],
    },
    { onMessage, onLine, onDeath },
  );
  let lastId = 0;
  let ticks = 0;
  let timer: { handle: NodeJS.Timeout; isFast: boolean } | null = null;
  let whenEmpty: (() => void) | null = null;
  let isClosed = false;

  return {
    run(task, { signal, onNews }) {
      return new Promise((settle) => {
        lastId += 1;
        const run: Run = {
          id: lastId,
          task,
          signal,
          onNews,
          settle,
          notes: emptyNotes(),
          deadline: 0,
          stop: null,
          killAt: 0,
          killedFor: null,
          isSecondTry: false,
        };
        if (isClosed) return settleFailed(run, stopped('cancelled', task.timeout_ms));
        waiting.push(run);
        pump();
      });
    },

    async close() {
      isClosed = true;
      // Before the children are killed: a tick would start new ones in their place.
      if (timer !== null) clearTimeout(timer.handle);
      for (const run of waiting.splice(0)) settleFailed(run, stopped('cancelled', run.task.timeout_ms));
      for (const run of running.values()) run.stop ??= 'cancelled';
      pool.killAll();
      if (pool.size > 0) {
        await new Promise<void>((resolve) => {
          whenEmpty = resolve;
          setTimeout(resolve, DEATH_MS).unref();
        });
      }
      for (const pooled of running.keys()) onDeath(pooled, { code: null, signal: 'SIGKILL', tail: '' });
    },
  };

  /** Gives waiting items to children while there are slots. */
  function pump(): void {
    while (running.size < options.max_children && !isClosed) {
      const run = waiting.shift();
      if (run === undefined) break;
      const { module } = run.task.processor;
      if (run.signal?.aborted === true) settleFailed(run, stopped('cancelled', run.task.timeout_ms));
      else if (module === null) settleFailed(run, failed('permanent', 'bad_processor', NO_MODULE));
      else begin(pool.acquire(module), run);
    }
    schedule();
  }

  function begin(pooled: PooledChild, run: Run): void {
    const { processor, config, item, work_dir, timeout_ms } = run.task;
    running.set(pooled, run);
    // The item's own time begins when its child has loaded the module.
    run.deadline = performance.now() + (pooled.isLoaded ? timeout_ms : LOAD_MS);
    pooled.child.send({
      do: 'run',
      id: run.id,
      name: processor.name,
      item,
      work_dir,
      max_memory_bytes: processor.max_memory_bytes,
      ...(pooled.config === config ? {} : { config }),
    });
    pooled.config = config;
  }

  function onMessage(pooled: PooledChild, message: Record<string, unknown>): void {
    const run = running.get(pooled);
    if (message.say === 'loaded') {
      if (run !== undefined && !pooled.isLoaded) run.deadline = performance.now() + run.task.timeout_ms;
      pooled.isLoaded = true;
    } else if (run === undefined) {
      // The last words of an item that is over.
    } else if (message.say === 'done') {
      const done = parseDone(message);
      if (done.id === run.id) void end(pooled, run, done);
    } else if (message.say === 'news') {
      run.onNews(cleanProgress(message.step, message.percent));
    } else if (message.say === 'log' && Array.isArray(message.lines)) {
      for (const line of message.lines) noteLine(run.notes, line);
    } else if (message.say === 'unloadable') {
      running.delete(pooled);
      pool.discard(pooled);
      settleFailed(
        run,
        failed('retryable', 'bad_processor', `The module cannot be loaded: ${message.message}`),
      );
      pump();
    }
  }

  function onLine(pooled: PooledChild, line: string): void {
    const run = running.get(pooled);
    if (run !== undefined) noteLine(run.notes, line);
  }

  async function end(
    pooled: PooledChild,
    run: Run,
    { end: ended, isLeaving, metrics, outputs: names }: Done,
  ): Promise<void> {
    running.delete(pooled);
    for (const [name, value] of Object.entries(metrics ?? {})) noteMetric(run.notes, name, value);
    if (isLeaving) pool.discard(pooled);
    else pool.release(pooled, run.task.processor.max_memory_bytes);
    pump();
    // Whatever it says after it was told to stop, it was stopped.
    const outcome = run.stop === null ? ended : stopped(run.stop, run.task.timeout_ms);
    if (!outcome.ok) {
      if (names.length > 0) await removeWorkDir(run.task.work_dir);
      run.settle(withNotes(run, outcome));
    } else if (names.length === 0) {
      run.settle({ ...noted(run), ...outcome, outputs: [] });
    } else {
      const outputs = await collectOutputs(run.task.work_dir, names, maxOutputBytes);
      if ('problem' in outputs)
        return settleAndClear(run, failed('retryable', 'bad_result', outputs.problem));
      if (outputs.length === 0) await removeWorkDir(run.task.work_dir);
      run.settle({ ...noted(run), ...outcome, outputs });
    }
  }

  function onDeath(pooled: PooledChild, death: Death): void {
    const run = running.get(pooled);
    running.delete(pooled);
    if (run !== undefined) {
      // It died of an item before this one, and had not begun it.
      if (death.code === STRAY_EXIT && run.stop === null && !run.isSecondTry && !isClosed) {
        run.isSecondTry = true;
        waiting.unshift(run);
      } else {
        void settleAndClear(run, causeOfDeath(run, death));
      }
    }
    if (pool.size === 0) whenEmpty?.();
    pump();
  }

  function tick(): void {
    const now = performance.now();
    ticks += 1;
    for (const [pooled, run] of running) {
      if (run.killedFor !== null) {
        // Stuck in the kernel: the slot is given up with the child.
        if (now >= run.killAt + DEATH_MS) onDeath(pooled, { code: null, signal: null, tail: '' });
      } else if (run.stop !== null) {
        if (now >= run.killAt) kill(pooled, run, 'stop', now);
      } else if (run.signal?.aborted === true) {
        tellToStop(pooled, run, 'cancelled', now);
      } else if (now >= run.deadline) {
        if (pooled.isLoaded) tellToStop(pooled, run, 'timeout', now);
        else kill(pooled, run, 'load', now);
      } else if (ticks % MEASURE_TICKS === 0) {
        const bytes = pool.measure(pooled);
        if (bytes !== null && bytes > run.task.processor.max_memory_bytes) kill(pooled, run, 'memory', now);
      }
    }
    for (const run of waiting.filter(({ signal }) => signal?.aborted === true)) {
      waiting.splice(waiting.indexOf(run), 1);
      settleFailed(run, stopped('cancelled', run.task.timeout_ms));
    }
    if (running.size === 0 || ticks % (IDLE_TICK_MS / TICK_MS) === 0) pool.tend();
    timer = null;
    schedule();
  }

  /** Ticks fast while something runs, slowly while children are kept, else not at all. */
  function schedule(): void {
    const isFast = running.size > 0;
    if (isClosed || (!isFast && pool.size === 0) || (timer !== null && (timer.isFast || !isFast))) return;
    if (timer !== null) clearTimeout(timer.handle);
    const handle = setTimeout(tick, isFast ? TICK_MS : IDLE_TICK_MS);
    // Children hold the process open; this timer need not.
    handle.unref();
    timer = { handle, isFast };
  }

  function tellToStop(pooled: PooledChild, run: Run, why: 'timeout' | 'cancelled', now: number): void {
    run.stop = why;
    run.killAt = now + graceMs;
    if (pooled.isLoaded) pooled.child.send({ do: 'stop' });
    else kill(pooled, run, 'stop', now);
  }
}

const NO_MODULE = 'The processor runs in child processes but names no module; give module: import.meta.url.';

function kill(pooled: PooledChild, run: Run, why: 'stop' | 'memory' | 'load', now: number): void {
  run.killedFor = why;
  run.killAt = now;
  pooled.child.kill();
}

function causeOfDeath(run: Run, { code, signal, tail }: Death): Failed {
  const { max_memory_bytes: limit } = run.task.processor;
  if (run.stop !== null) return stopped(run.stop, run.task.timeout_ms);
  if (run.killedFor === 'load')
    return failed('retryable', 'bad_processor', `The module did not load within ${LOAD_MS} ms.`);
  if (run.killedFor === 'memory' || tail.includes(OUT_OF_MEMORY_MARK)) {
    return failed(
      'retryable',
      'out_of_memory',
      `The item needed more than ${Math.round(limit / 1_048_576)} MiB of memory.`,
    );
  }
  // V8 aborts when its heap is full, and says so; other aborts are crashes of native code.
  if ((signal === 'SIGABRT' || code === 134) && /out of memory/i.test(tail)) {
    return failed(
      'retryable',
      'out_of_memory',
      'The item needed more memory than the JavaScript heap may have.',
    );
  }
  if (signal !== null)
    return failed('retryable', 'crashed', `The child process was killed by ${signal} while it ran the item.`);
  if (code === null) return failed('retryable', 'crashed', `The child process could not be started: ${tail}`);
  return failed(
    'retryable',
    'crashed',
    `The child process ended with exit code ${code} while it ran the item.`,
  );
}

/** After a death nobody knows whether the folder was made. */
async function settleAndClear(run: Run, failure: Failed): Promise<void> {
  await removeWorkDir(run.task.work_dir);
  settleFailed(run, failure);
}

function settleFailed(run: Run, failure: Failed): void {
  run.settle(withNotes(run, failure));
}

function withNotes(run: Run, failure: Failed): RunResult {
  return { ...noted(run), ...failure };
}

function noted({ notes }: Run): { metrics: Record<string, number> | null; log: string | null } {
  return { metrics: notes.metrics, log: logText(notes) };
}
