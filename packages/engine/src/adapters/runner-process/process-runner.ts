import { cleanProgress, emptyNotes, noteLine, noteMetric } from '../../domain/attempt-notes.ts';
import { failed } from '../../domain/failure.ts';
import type { Runner, RunResult, RunTask } from '../../ports/runner.ts';
import { MAX_OUTPUT_BYTES } from '../work-dir.ts';
import type { Death } from './child-handle.ts';
import { createChildPool, type PooledChild } from './child-pool.ts';
import { type Done, isRecord, parseDone, STRAY_EXIT } from './messages.ts';
import {
  causeOfDeath,
  cleared,
  fail,
  LOAD_MS,
  makeRow,
  maxMemoryOf,
  noted,
  type Row,
  refuse,
  resultOf,
  settle,
  taskOf,
  tell,
} from './row.ts';

/** How late a timeout or an abort may reach a child. */
const TICK_MS = 25;
const IDLE_TICK_MS = 1_000;
/** Children are measured at every eighth tick. */
const MEASURE_TICKS = 8;
/** How long a killed child is waited for; one stuck in the kernel cannot be killed. */
const DEATH_MS = 5_000;

export type ProcessRunnerOptions = {
  /** Items that run at the same time, each in a child of its own. */
  max_children: number;
  /** Children kept ready beside them. @default 1 */
  spare?: number;
  /** Items after which a child is replaced, if it is old enough by then. @default 10000 */
  max_items_per_child?: number;
  /**
   * How long a child serves at least: a start costs as much as thousands of tiny items, and replacing
   * by their number alone took a third of the speed.
   *
   * @default 30000
   */
  min_child_age_ms?: number;
  /** How long an item may go on after its abort before its child is killed. @default 2000 */
  grace_ms?: number;
  /** How long an item may run before those behind it in its row are asked back. @default 50 */
  recall_ms?: number;
  /** How long an idle child is kept warm. @default 60000 */
  idle_ms?: number;
  /** @default 10 GiB */
  max_output_bytes?: number;
  /** Environment of the children, beside an allow-list (paths and language). @default {} */
  env?: Readonly<Record<string, string>>;
  /** More arguments for Node in the children, as `--max-old-space-size=8192`. @default [] */
  exec_argv?: readonly string[];
};

/**
 * Runs each item in a child process: for native code and code of users.
 *
 * Whatever the code does ends as data: an endless loop, a crash, `process.exit`, too much memory. A
 * timeout or an abort is told first; after `grace_ms` the child is killed with all it started.
 * Children die with this process, even in an endless loop. Resident memory is watched every 200 ms,
 * so a child may be over its limit for that long.
 */
export function createProcessRunner(options: ProcessRunnerOptions): Required<Runner> {
  const graceMs = options.grace_ms ?? 2_000;
  const recallMs = options.recall_ms ?? 50;
  const maxOutputBytes = options.max_output_bytes ?? MAX_OUTPUT_BYTES;
  const waiting: Row[] = [];
  const running = new Map<PooledChild, Row>();
  const pool = createChildPool(
    {
      max_children: options.max_children,
      spare: options.spare ?? 1,
      max_items_per_child: options.max_items_per_child ?? 10_000,
      min_child_age_ms: options.min_child_age_ms ?? 30_000,
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
    async run(task, { signal, onNews }) {
      const only = Promise.withResolvers<RunResult>();
      await runRow([task], {
        signal,
        onNews: (_, news) => onNews(news),
        onResult: (_, result) => only.resolve(result),
      });
      return only.promise;
    },

    runRow,

    async close() {
      isClosed = true;
      // Before the children are killed: a tick would start new ones in their place.
      if (timer !== null) clearTimeout(timer.handle);
      for (const row of waiting.splice(0)) refuse(row, 'cancelled');
      for (const row of running.values()) row.stop ??= 'cancelled';
      pool.killAll();
      if (pool.size > 0) {
        await new Promise<void>((resolve) => {
          whenEmpty = resolve;
          setTimeout(resolve, DEATH_MS).unref();
        });
      }
      for (const pooled of running.keys()) onDeath(pooled, UNSEEN_DEATH);
    },
  };

  function runRow(
    tasks: readonly RunTask[],
    { signal, onNews, onResult }: Pick<Row, 'signal' | 'onNews' | 'onResult'>,
  ): Promise<void> {
    return new Promise((settle) => {
      const row = makeRow(lastId + 1, tasks, { signal, onNews, onResult, settle });
      lastId += tasks.length;
      if (isClosed) return refuse(row, 'cancelled');
      waiting.push(row);
      pump();
    });
  }

  /** Gives waiting rows to children while there are slots. */
  function pump(): void {
    while (running.size < options.max_children && !isClosed) {
      const row = waiting.shift();
      if (row === undefined) break;
      const task = taskOf(row);
      const { module } = task.processor;
      if (row.signal?.aborted === true) refuse(row, 'cancelled');
      else if (module === null) fail(row, failed('permanent', 'bad_processor', NO_MODULE));
      else begin(pool.acquire(module), row, task);
    }
    schedule();
  }

  function begin(pooled: PooledChild, row: Row, { processor, config }: RunTask): void {
    running.set(pooled, row);
    // It could not tell which of several it was at.
    if (!pooled.child.takesRows) row.end = Math.min(row.end, 1);
    startClock(pooled, row);
    pooled.child.send({
      do: 'run',
      name: processor.name,
      items: row.tasks.slice(0, row.end).map(({ item, work_dir }, index) => {
        return { id: row.firstId + index, item, work_dir };
      }),
      max_memory_bytes: processor.max_memory_bytes,
      ...(pooled.config === config ? {} : { config }),
    });
    pooled.config = config;
  }

  /** The item's own time begins when its child has loaded the module. */
  function startClock(pooled: PooledChild, row: Row): void {
    row.begunAt = performance.now();
    row.deadline = row.begunAt + (pooled.isLoaded ? taskOf(row).timeout_ms : LOAD_MS);
  }

  function onMessage(pooled: PooledChild, message: Record<string, unknown>): void {
    const row = running.get(pooled);
    if (message.say === 'loaded') {
      const isNew = !pooled.isLoaded;
      pooled.isLoaded = true;
      if (row !== undefined && isNew) startClock(pooled, row);
    } else if (row === undefined) {
      // The last words of an item that is over.
    } else if (message.say === 'done' && Array.isArray(message.list)) {
      for (const each of message.list) {
        const done = isRecord(each) ? parseDone(each) : null;
        if (done !== null && done.id === row.firstId + row.at && row.at < row.end) over(pooled, row, done);
      }
    } else if (message.say === 'back' && typeof message.from === 'number') {
      shorten(pooled, row, message.from - row.firstId);
    } else if (message.say === 'news') {
      row.onNews(row.at, cleanProgress(message.step, message.percent));
    } else if (message.say === 'log' && Array.isArray(message.lines)) {
      for (const line of message.lines) noteLine(row.notes, line);
    } else if (message.say === 'unloadable') {
      running.delete(pooled);
      pool.discard(pooled);
      fail(row, failed('retryable', 'bad_processor', `The module cannot be loaded: ${message.message}`));
      pump();
    }
  }

  function onLine(pooled: PooledChild, line: string): void {
    const row = running.get(pooled);
    if (row !== undefined) noteLine(row.notes, line);
  }

  function over(pooled: PooledChild, row: Row, done: Done): void {
    for (const [name, value] of Object.entries(done.metrics ?? {})) noteMetric(row.notes, name, value);
    tell(row, row.at, resultOf(row, done, maxOutputBytes), done.ran_ms);
    row.at += 1;
    if (done.isLeaving) row.end = row.at;
    if (row.at < row.end) {
      row.notes = emptyNotes();
      row.stop = null;
      startClock(pooled, row);
      return;
    }
    running.delete(pooled);
    pool.release(pooled, row.end, maxMemoryOf(row));
    if (done.isLeaving) pool.discard(pooled);
    pump();
    settle(row);
  }

  /** The child will not begin the items from `end` on. */
  function shorten(pooled: PooledChild, row: Row, end: number): void {
    if (!Number.isInteger(end) || end < row.at || end >= row.end) return;
    row.end = end;
    if (row.at < end) return;
    running.delete(pooled);
    pool.release(pooled, row.end, maxMemoryOf(row));
    pump();
    settle(row);
  }

  function onDeath(pooled: PooledChild, death: Death): void {
    const row = running.get(pooled);
    running.delete(pooled);
    if (row !== undefined) {
      // It died of an item before this one, and had not begun it.
      const isBlameless = death.code === STRAY_EXIT && row.stop === null && !row.isSecondTry && !isClosed;
      if (isBlameless && row.at === 0) {
        row.isSecondTry = true;
        waiting.unshift(row);
      } else if (isBlameless) {
        settle(row);
      } else {
        blame(row, death);
      }
    }
    if (pool.size === 0) whenEmpty?.();
    pump();
  }

  /** Names the item the child was at: by its own note, which is ahead of what it could send. */
  function blame(row: Row, death: Death): void {
    const begun = death.begun === null ? -1 : death.begun - row.firstId;
    if (Number.isInteger(begun) && begun > row.at && begun < row.end) {
      row.at = begun;
      row.notes = emptyNotes();
    }
    // Nobody knows whether the folder was made.
    const result = { ...noted(row.notes), ...causeOfDeath(row, death) };
    tell(row, row.at, cleared(taskOf(row), result), performance.now() - row.begunAt);
    settle(row);
  }

  function tick(): void {
    const now = performance.now();
    ticks += 1;
    for (const [pooled, row] of running) {
      if (row.killedFor !== null) {
        // Stuck in the kernel: the slot is given up with the child.
        if (now >= row.killAt + DEATH_MS) onDeath(pooled, UNSEEN_DEATH);
      } else if (row.stop !== null) {
        if (now >= row.killAt) kill(pooled, row, 'stop', now);
      } else if (row.signal?.aborted === true) {
        tellToStop(pooled, row, 'cancelled', now);
      } else if (now >= row.deadline) {
        if (pooled.isLoaded) tellToStop(pooled, row, 'timeout', now);
        else kill(pooled, row, 'load', now);
      } else if (mayRecall(pooled, row) && now - row.begunAt > recallMs) {
        // The items behind a slow one go elsewhere.
        row.isRecalled = true;
        pooled.child.send({ do: 'stop', id: null });
      } else if (ticks % MEASURE_TICKS === 0) {
        const bytes = pool.measure(pooled);
        if (bytes !== null && bytes > taskOf(row).processor.max_memory_bytes)
          kill(pooled, row, 'memory', now);
      }
    }
    for (const row of waiting.filter(({ signal }) => signal?.aborted === true)) {
      waiting.splice(waiting.indexOf(row), 1);
      refuse(row, 'cancelled');
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

  function tellToStop(pooled: PooledChild, row: Row, why: 'timeout' | 'cancelled', now: number): void {
    row.stop = why;
    row.killAt = now + graceMs;
    if (pooled.isLoaded) pooled.child.send({ do: 'stop', id: row.firstId + row.at });
    else kill(pooled, row, 'stop', now);
  }
}

/** Of a child that was not seen to die. */
const UNSEEN_DEATH: Death = { code: null, signal: 'SIGKILL', tail: '', begun: null };

const NO_MODULE = 'The processor runs in child processes but names no module; give module: import.meta.url.';

function kill(pooled: PooledChild, row: Row, why: 'stop' | 'memory' | 'load', now: number): void {
  row.killedFor = why;
  row.killAt = now;
  pooled.child.kill();
}

/** A child that is still loading has no items yet to give back: asked then, it would never be asked again. */
function mayRecall({ isLoaded }: { isLoaded: boolean }, row: Row): boolean {
  return isLoaded && !row.isRecalled && row.end - row.at > 1;
}
