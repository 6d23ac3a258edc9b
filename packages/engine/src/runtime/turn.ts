import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isActive } from '@sheaf/protocol';
import { itemsToLease } from '../domain/lease-ahead.ts';
import { enter, leave } from '../domain/place.ts';
import { createRowLength, rowFrom } from '../domain/row-length.ts';
import type { Chance, Clock } from '../ports/clock.ts';
import type { Files } from '../ports/files.ts';
import type { BatchPulse, Lease, LeasedBatch, LeasedItem, Outcome } from '../ports/leasing.ts';
import type { Processor } from '../ports/processor.ts';
import type { RunNews, Runner } from '../ports/runner.ts';
import { createContexts, type Ended, mayRunInRows, runAttempts } from './attempt.ts';
import { watchDrySpell } from './dry-spell.ts';
import { createEndedQueue } from './ended-queue.ts';
import { holdSlots } from './held-slots.ts';
import type { KeepOutputs } from './keep-outputs.ts';
import { toOutcomes } from './outcome.ts';
import { MAX_OUTCOMES, type Recorded, type Recorder } from './recorder.ts';
import type { RunningItem, RunningTurn, TurnEnd } from './running-turn.ts';
import type { Slots } from './slots.ts';

/** Records of a turn under way at the same time: one is being written, the other waits beside it. */
const MAX_RECORDS = 2;

/** How long a lease, a renewal or a record permits starting items. Pause means: none starts after this. */
const START_RIGHT_MS = 1_000;

/** A turn hands its batch back after this long, so that a million items cannot starve ten. */
const TURN_MS = 1_000;

/**
 * How long items gather for one commit: it costs as much as a small item, and the same for one and for
 * many. Nobody sees a tenth of a second, and slots do not wait for it: they have items leased ahead.
 */
const GATHER_MS = 100;

/**
 * The same where few would gather; for failures, which may have to pause the batch before many follow; for
 * items that must not run twice, as they are in doubt until then; and while slots are to change hands.
 */
const HASTY_GATHER_MS = 5;

/** What a turn needs of its process. */
export type TurnTools = {
  runner: Runner;
  recorder: Recorder;
  files: Files;
  clock: Clock;
  chance: Chance;
  keepOutputs: KeepOutputs;
  /** Told of a full disk; answers whether it is ours. */
  onDiskFull(): Promise<boolean>;
  slots: Slots;
  work_dir: string;
  onError(error: unknown): void;
  /** Whether another turn of this priority or a higher one waits for slots: then this one ends after its second. */
  mustYield(priority: number): boolean;
  /** How many slots a turn may use beside the others that work here; 0: none while higher ones need them. */
  shareOf(turn: RunningTurn): number;
  onPulse(pulse: BatchPulse, ended: readonly Outcome[]): void;
  onNews(batch: LeasedBatch, item: LeasedItem, news: RunNews): void;
};

/**
 * Works on a lease. The caller took `held` slots for it; the turn gives them back one by one as it
 * needs them no more.
 *
 * @param options.pace Items a second this batch was seen to make, 0 when unknown.
 * @param options.asked The monotonic time the lease was asked for.
 * @param options.priority The batch's, as its invitation said; each record tells the current one.
 */
export function startTurn(
  tools: TurnTools,
  options: {
    lease: Lease;
    processor: Processor;
    held: number;
    pace: number;
    asked: number;
    priority: number;
  },
): RunningTurn {
  const { lease, processor } = options;
  const { token, batch } = lease;
  const startedAt = performance.now();
  const aborter = new AbortController();
  const running: RunningItem[] = [];
  const configs = { ...lease.configs };
  const workDir = join(tools.work_dir, token);
  const contextOf = createContexts({ batch, processor, work_dir: workDir, signal: aborter.signal }, configs);
  const done = Promise.withResolvers<TurnEnd>();

  let queue = lease.items;
  let next = 0;
  const ended = createEndedQueue();
  const slots = holdSlots(tools.slots, { held: options.held, width: lease.width });
  let concurrency = batch.concurrency;
  let priority = options.priority;
  /** Items that may run beside those of other turns; looked at with each record and renewal. */
  let share = batch.concurrency;
  let confirmedAt = options.asked;
  let phase: 'working' | 'stopping' | 'lost' | 'over' = 'working';
  let isBatchActive = true;
  const records = new Set<Promise<void>>();
  /** Items that the records under way have asked for. */
  let asked = 0;
  let recordSeconds = 0;
  let isPlanned = false;
  let gathering: { timer: NodeJS.Timeout; due: number } | null = null;
  const dry = watchDrySpell(tools.clock, pump);
  // What the last record found. It tells others how much this turn needs, so renewals do not touch it.
  let found = { isDry: false, isNarrow: false };
  let hasVoid = false;
  let finished = 0;
  /** Items that were handed to slots and have no outcome yet: they run, wait in a row, or are being stored. */
  let unended = 0;
  const rows = createRowLength({ isSingle: lease.alone || !mayRunInRows(processor) });

  const unstarted = () => queue.length - next;
  const aim = () => slots.reach(share);
  const isWorking = () => phase === 'working' && isBatchActive;
  const pace = () => {
    const seconds = (performance.now() - startedAt) / 1000;
    return finished === 0 ? options.pace : finished / Math.max(seconds, 0.001);
  };

  function pump(): void {
    const mayStart = performance.now() - confirmedAt < START_RIGHT_MS;
    // Bounded: a turn with too much to record waits, however fast its items are.
    const most = Math.min(slots.width, share);
    // Outputs are stored beside the handlers; a slow disk holds these up in the end.
    const mostUnended = most * (rows.most + 2);
    const isReady = () =>
      next < queue.length && running.length < most && unended < mostUnended && !ended.isCrowded;
    while (mayStart && isWorking() && isReady()) {
      const row = rowFrom(queue, next, { most: rows.most, slots: most });
      next += row.length;
      start(row);
    }
    planFlush();
  }

  function start(row: readonly LeasedItem[]): void {
    const [item] = row;
    if (item === undefined) return;
    const context = contextOf(item.config_no);
    const entry: RunningItem = { item, started_at: tools.clock.now(), news: null, place: 0 };
    enter(running, entry);
    unended += row.length;
    const onNews = (of: LeasedItem, news: RunNews) => {
      entry.item = of;
      entry.news = news;
      tools.onNews(batch, of, news);
    };
    void runAttempts(tools, context, row, { onNews, onEnded: end }).then((back) => {
      leave(running, entry);
      unended -= back.length;
      if (back.length > 0) {
        queue = [...back, ...queue.slice(next)];
        next = 0;
      }
      pump();
    });
  }

  function end(attempt: Ended): void {
    unended -= 1;
    finished += 1;
    rows.ended(attempt.duration_ms);
    if (attempt.isVoid) giveBack();
    else if (phase !== 'lost') ended.push(attempt);
    planFlush();
  }

  /** An item has no outcome: it goes back, or its batch is over. Here it would only be broken off again. */
  function giveBack(): void {
    hasVoid = true;
    stop();
  }

  /**
   * At the end of the tick, so that what ended together is recorded together; a little later while
   * there are others to run, because a commit costs the same for one item and for a hundred.
   */
  function planFlush(): void {
    if (ended.isFull && records.size < MAX_RECORDS) {
      // A full commit goes at once: the Store writes it while the rest of this tick's items run.
      flush();
      return;
    }
    if (records.size > 0 || isPlanned) return;
    if (isWorking() && unstarted() > 0 && ended.length < MAX_OUTCOMES / 2) {
      gather(isInHurry() ? HASTY_GATHER_MS : GATHER_MS);
      return;
    }
    isPlanned = true;
    setImmediate(() => {
      isPlanned = false;
      flush();
    });
  }

  function isInHurry(): boolean {
    if (!processor.idempotent || ended.hasFailures || running.length < aim()) return true;
    return pace() * GATHER_MS < 1_000 || tools.mustYield(priority);
  }

  /** Flushes after this long, or when it was to be flushed anyway, if that is sooner. */
  function gather(ms: number): void {
    const due = performance.now() + ms;
    if (gathering !== null && gathering.due <= due) return;
    clearTimeout(gathering?.timer);
    gathering = { timer: setTimeout(flush, ms), due };
  }

  /** Records what has ended, and asks for more. A second record goes beside the first only when it is full. */
  function flush(): void {
    clearTimeout(gathering?.timer);
    gathering = null;
    if (phase === 'over' || records.size >= MAX_RECORDS) return;
    if (records.size > 0 && !ended.isFull) return;
    const more = wanted();
    if (ended.length === 0 && more === 0 && !wantsWidth()) {
      finishIfIdle();
      return;
    }
    const written = record(more).finally(() => {
      records.delete(written);
      pump();
      finishIfIdle();
    });
    records.add(written);
  }

  async function record(more: number): Promise<void> {
    const list = ended.take();
    const askedAt = performance.now();
    const { backoff } = batch.policies;
    try {
      const outcomes = toOutcomes(list, { backoff, jitter: tools.chance.random(), now: tools.clock.now() });
      updateShare();
      const wide = takeSlots();
      asked += more;
      const request = { token, batch_id: batch.id, outcomes, more, width: wide };
      const answer = await tools.recorder.record(request).finally(() => {
        asked -= more;
        recordSeconds = (performance.now() - askedAt) / 1_000;
      });
      slots.granted(answer.width, Math.min(wide, running.length + unstarted()));
      if (answer.outcomes.length < outcomes.length) giveBack();
      recorded(answer, { more, askedAt });
    } catch (error) {
      // The disk is full or gone: nothing of this was kept, the items will run again.
      lose();
      tools.onError(error);
    }
  }

  function wanted(): number {
    if (!isWorking() || dry.isDry || lease.alone || mustEnd()) return 0;
    const idle = Math.max(0, aim() - running.length);
    const coming = unstarted() + asked;
    // Turns before this one have seen enough of the batch.
    const seen = options.pace > 0 ? Number.POSITIVE_INFINITY : finished;
    return itemsToLease({ pace: pace(), seen, record_seconds: recordSeconds, idle, coming });
  }

  /** Whether items that are leased already could start, if the lease were wider. */
  function wantsWidth(): boolean {
    if (!isWorking() || slots.isNarrow || lease.alone || mustEnd()) return false;
    return slots.width < Math.min(aim(), running.length + unstarted());
  }

  function mustEnd(): boolean {
    return share === 0 || (performance.now() - startedAt >= TURN_MS && tools.mustYield(priority));
  }

  /** As many items as the batch may run, and as others leave room for. */
  function updateShare(): void {
    share = lease.alone ? 1 : Math.min(concurrency, tools.shareOf(turn));
  }

  /** What the lease should be as wide as from here on: never less than the handlers that run. */
  function takeSlots(): number {
    if (!isWorking()) return running.length;
    const held = slots.takeUpTo(lease.alone || mustEnd() ? 0 : aim());
    const useful = running.length + unstarted() + (mustEnd() ? 0 : wanted());
    return Math.max(running.length, Math.min(aim(), held, useful));
  }

  function recorded(answer: Recorded, { more, askedAt }: { more: number; askedAt: number }): void {
    if (answer.lost || answer.batch === null) {
      lose();
      return;
    }
    confirmedAt = Math.max(confirmedAt, askedAt);
    if (answer.batch.concurrency > concurrency) slots.hope();
    concurrency = answer.batch.concurrency;
    priority = answer.batch.priority;
    if (answer.items.length > 0) {
      queue = queue.slice(next).concat(answer.items);
      next = 0;
      Object.assign(configs, answer.configs);
    }
    dry.recorded(more, answer);
    found = { isDry: more > 0 ? dry.isDry : found.isDry, isNarrow: slots.isNarrow };
    giveBackSurplus();
    isBatchActive = isActive(answer.batch.status);
    tools.onPulse(answer.batch, answer.outcomes);
  }

  function giveBackSurplus(): void {
    // The width that another record under way has asked for rests on these slots.
    if (records.size <= 1) slots.giveBackSurplus(running.length);
  }

  function lose(): void {
    if (phase !== 'over') phase = 'lost';
    ended.clear();
    aborter.abort();
    planFlush();
  }

  function stop(): void {
    if (phase === 'working') phase = 'stopping';
    planFlush();
  }

  function finishIfIdle(): void {
    if (phase === 'over' || unended > 0 || running.length > 0 || records.size > 0 || ended.length > 0) return;
    if (isWorking() && unstarted() > 0 && !mustEnd()) return;
    const isHeld = phase === 'lost' || unstarted() > 0 || hasVoid;
    // What is lost is not looked for at once: if it is still ours to do, the sweep finds it.
    const goesOn = phase !== 'lost' && (isHeld || (isWorking() && !dry.isDry));
    phase = 'over';
    dry.end();
    slots.giveAllBack();
    const { next_ready_at } = dry;
    const end = () => done.resolve({ goesOn, isHeld, pace: pace(), next_ready_at });
    // Nobody knows whether it is there: a failed attempt may have made it, too.
    void rm(workDir, { recursive: true, force: true }).then(end, end);
  }

  const turn: RunningTurn = {
    token,
    batch_id: batch.id,
    running,
    get priority() {
      return priority;
    },
    get demand() {
      if (!isWorking()) return running.length;
      const most = found.isNarrow ? Math.max(slots.width, running.length) : concurrency;
      return found.isDry ? Math.min(most, running.length + unstarted()) : most;
    },
    get confirmed_at() {
      return confirmedAt;
    },
    renewed(answer, asked) {
      if (phase === 'lost' || phase === 'over') return;
      if (!answer.held) {
        lose();
        return;
      }
      confirmedAt = Math.max(confirmedAt, asked);
      concurrency = answer.concurrency;
      isBatchActive = answer.status !== null && isActive(answer.status);
      dry.hope();
      slots.hope();
      updateShare();
      pump();
    },
    async hold() {
      isBatchActive = false;
      planFlush();
      while (records.size > 0 || (ended.length > 0 && phase !== 'over')) {
        flush();
        await Promise.race(records);
      }
    },
    stop,
    abort() {
      stop();
      aborter.abort();
    },
    done: done.promise,
  };
  giveBackSurplus();
  pump();
  return turn;
}
