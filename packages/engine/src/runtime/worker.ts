import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import type { Clock } from '../ports/clock.ts';
import type { Dispatch, Turn } from '../ports/dispatch.ts';
import type { Lease, Served } from '../ports/leasing.ts';
import type { Processor } from '../ports/processor.ts';
import type { Store } from '../ports/store.ts';
import type { RunningItem, RunningTurn } from './running-turn.ts';
import { shareOf } from './share.ts';
import { every } from './timers.ts';
import { startTurn, type TurnTools } from './turn.ts';

/** Renewals come twice as often as the right to start items lasts. */
const RENEW_MS = 400;

/** How long a turn waits in hand for free slots that are spoken for: a renewal tells whose they are before that. */
const ROOM_MS = 500;
const LOOK_MS = 20;

/** Longest wait for outcomes to be recorded: the disk may be full. */
const HOLD_MS = 5_000;

/** How long broken-off items may take to end by themselves. */
const FORCE_MS = 2_500;

/** The works of this process: takes turns, leases, and keeps the leases alive. */
export type Worker = {
  /** Items of a batch at work in this process. */
  running(batchId: string): RunningItem[];
  /**
   * Starts no more items of a batch here; resolves when its outcomes up to now are recorded, or when
   * that takes longer than anybody should wait.
   */
  hold(batchId: string): Promise<void>;
  /** Breaks off what runs of a batch here. */
  abort(batchId: string): void;
  /** While closing: breaks off what runs, and after a grace does not wait for it any more. */
  cutOff(): void;
  /** Renews at once: what changed (concurrency, a pause) is known here without waiting. */
  refresh(): Promise<void>;
  /** Why a batch cannot run here, if so. */
  waitingFor(batchId: string): string | null;
  /** Leases nothing more. What runs may finish for `drainMs`, then it is broken off and goes back. */
  close(drainMs: number): Promise<void>;
};

export function startWorker(options: {
  store: Store;
  dispatch: Dispatch;
  clock: Clock;
  boot: string;
  tools: Omit<TurnTools, 'mustYield' | 'shareOf' | 'onError'>;
  findProcessor: (name: string) => Processor | undefined;
  /** What the Store may lease to this worker: nothing else is even touched. */
  serves: readonly Served[];
  /** Called when a turn has ended: offers the batch again, or waits until its next retry is due. */
  onTurnEnd: (turn: Turn, end: { goesOn: boolean; next_ready_at: number | null }) => Promise<void>;
  onError: (error: unknown) => void;
}): Worker {
  const { store, dispatch, clock, boot } = options;
  const { slots, runner, recorder } = options.tools;
  const turns = new Set<RunningTurn>();
  const of = (batchId: string) => [...turns].filter((turn) => turn.batch_id === batchId);
  const closing = new AbortController();
  const isClosing = new Promise<void>((resolve) => {
    closing.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  const paces = new Map<string, number>();
  const missing = new Map<string, string>();
  /** Set while an item must run alone: everybody else ends first, and nobody comes in. */
  let quiet: Promise<unknown> | null = null;
  const tools: TurnTools = {
    ...options.tools,
    onError: options.onError,
    mustYield: (priority) => quiet !== null || dispatch.hasWaiting(priority),
    shareOf: (turn) => shareOf(turn, turns, slots.total),
  };
  let isRefreshing = false;
  let force: NodeJS.Timeout | null = null;
  const busy = new Set<Promise<void>>();
  const renewals = every(RENEW_MS, renew, options.onError);
  const loop = takeTurns();

  async function takeTurns(): Promise<void> {
    while (!closing.signal.aborted) {
      // Slots first: who goes next is decided when somebody can go, so that a higher batch overtakes.
      while (!closing.signal.aborted && (slots.free === 0 || quiet !== null)) {
        await Promise.race([quiet ?? slots.available(), isClosing]);
      }
      const turn = await dispatch.take(closing.signal);
      if (turn === null) return;
      if (!(await getsRoom(turn.priority))) {
        await dispatch.handBack(turn);
        await dispatch.offer([turn]);
        continue;
      }
      const work = serve(turn).catch(options.onError);
      busy.add(work);
      void work.finally(() => busy.delete(work));
    }
  }

  /**
   * How many slots a turn could have now. One that is free may be spoken for: a higher turn at work here
   * takes it with its next record, or says there that it needs none.
   */
  function roomFor(priority: number): number {
    if (quiet !== null) return 0;
    return Math.min(slots.free, shareOf({ priority, demand: slots.total }, turns, slots.total));
  }

  /** Waits a little for room, while there is a free slot to wait for and no higher turn is offered. */
  async function getsRoom(priority: number): Promise<boolean> {
    const end = performance.now() + ROOM_MS;
    const mayHope = () =>
      slots.free > 0 &&
      quiet === null &&
      !closing.signal.aborted &&
      performance.now() < end &&
      !dispatch.hasWaiting(priority + 1);
    if (roomFor(priority) > 0) return true;
    // Asked after a wait: a turn that goes back at once would only come again at once.
    do await wait(LOOK_MS);
    while (roomFor(priority) === 0 && mayHope());
    return roomFor(priority) > 0;
  }

  async function serve(turn: Turn): Promise<void> {
    if (of(turn.batch_id).length > 0) {
      // One turn of a batch has all the slots there are. A second one, left by a worker that fell silent,
      // would keep that worker out when it comes back; the sweep offers it again.
      await dispatch.handBack(turn);
      return;
    }
    let end = NOTHING;
    let again = false;
    try {
      end = await work(turn, { idle: false });
      if (end.refused === 'needs_idle' && quiet === null) end = await workAlone(turn);
    } finally {
      // Also after a failure: a turn that stays in hand would never be offered again.
      ({ again } = await dispatch.handBack(turn));
    }
    await options.onTurnEnd(turn, { goesOn: end.goesOn || again, next_ready_at: end.next_ready_at });
  }

  /** Waits until no handler runs, then lets the suspect run with nothing beside it. */
  async function workAlone(turn: Turn): Promise<WorkEnd> {
    const over = Promise.withResolvers<void>();
    quiet = over.promise;
    try {
      for (const other of turns) other.stop();
      await slots.idle();
      return closing.signal.aborted ? NOTHING : await work(turn, { idle: true });
    } finally {
      quiet = null;
      over.resolve();
    }
  }

  async function work(turn: Turn, { idle }: { idle: boolean }): Promise<WorkEnd> {
    const held = slots.take(idle ? slots.free : roomFor(turn.priority));
    if (held === 0) return { goesOn: true, next_ready_at: null, refused: null };
    const pace = paces.get(turn.batch_id) ?? 0;
    const token = randomUUID();
    const asked = performance.now();
    const limit = Math.min(1_000, Math.max(held, Math.floor(pace / 10)));
    let answer: Awaited<ReturnType<Store['lease']>>;
    try {
      const now = clock.now();
      answer = await store.lease({
        token,
        batch_id: turn.batch_id,
        worker: boot,
        boot,
        width: held,
        limit,
        idle,
        serves: options.serves,
        now,
      });
    } catch (error) {
      slots.giveBack(held);
      throw error;
    }
    if ('refused' in answer) {
      slots.giveBack(held);
      const { refused, next_ready_at, needs } = answer;
      if (needs !== null) missing.set(turn.batch_id, whyUnfit(needs, options.findProcessor(needs.processor)));
      else if (refused === 'not_active') missing.delete(turn.batch_id);
      return { goesOn: false, next_ready_at, refused };
    }
    if (closing.signal.aborted) {
      slots.giveBack(held);
      await store.release([token], clock.now());
      return NOTHING;
    }
    return run(answer.lease, { held, pace, asked, priority: turn.priority });
  }

  async function run(
    lease: Lease,
    { held, pace, asked, priority }: { held: number; pace: number; asked: number; priority: number },
  ): Promise<WorkEnd> {
    const processor = options.findProcessor(lease.batch.processor);
    if (processor === undefined) {
      slots.giveBack(held);
      await store.release([lease.token], clock.now());
      throw new Error(`The Store leased a batch of ${lease.batch.processor}, which is not served here.`);
    }
    missing.delete(lease.batch.id);
    const turn = startTurn(tools, { lease, processor, held, pace, asked, priority });
    turns.add(turn);
    if (quiet !== null && !lease.alone) turn.stop();
    try {
      const end = await turn.done;
      paces.set(lease.batch.id, end.pace);
      if (end.isHeld) await store.release([turn.token], clock.now());
      return { goesOn: end.goesOn, next_ready_at: end.next_ready_at, refused: null };
    } finally {
      turns.delete(turn);
    }
  }

  async function renew(): Promise<void> {
    // A record renews as well; only news that somebody waits for is asked for in any case.
    const confirmed = isRefreshing ? Number.POSITIVE_INFINITY : performance.now() - RENEW_MS / 2;
    isRefreshing = false;
    const due = [...turns].filter((turn) => turn.confirmed_at < confirmed);
    if (due.length === 0) return;
    const asked = performance.now();
    const answers = await store.renew(
      due.map((turn) => turn.token),
      clock.now(),
    );
    for (const [index, answer] of answers.entries()) due[index]?.renewed(answer, asked);
  }

  return {
    running: (batchId) =>
      of(batchId)
        .flatMap((turn) => turn.running)
        .sort((a, b) => a.started_at - b.started_at || a.item.seq - b.item.seq),
    async hold(batchId) {
      const held = Promise.all(of(batchId).map((turn) => turn.hold()));
      const timer = Promise.withResolvers<void>();
      const limit = setTimeout(timer.resolve, HOLD_MS);
      await Promise.race([held, timer.promise]);
      clearTimeout(limit);
    },
    abort(batchId) {
      for (const turn of of(batchId)) turn.abort();
    },
    refresh() {
      isRefreshing = true;
      return renewals.nudge();
    },
    waitingFor: (batchId) => missing.get(batchId) ?? null,
    cutOff,
    async close(drainMs) {
      closing.abort();
      for (const turn of turns) turn.stop();
      const drain = setTimeout(cutOff, drainMs);
      await loop;
      while (busy.size > 0) await Promise.allSettled([...busy]);
      clearTimeout(drain);
      if (force !== null) clearTimeout(force);
      await dispatch.close();
      await renewals.stop();
    },
  };

  function cutOff(): void {
    for (const turn of turns) turn.abort();
    recorder.giveUp();
    // Who does not listen is not waited for: the runner says that it is over, whatever it still does.
    force ??= setTimeout(() => void runner.close().catch(options.onError), FORCE_MS);
  }
}

type WorkEnd = { goesOn: boolean; next_ready_at: number | null; refused: string | null };

const NOTHING: WorkEnd = { goesOn: false, next_ready_at: null, refused: null };

/** Another major version may mean other results: the batch waits for the one it began with. */
function whyUnfit(
  needs: { processor: string; processor_version: string },
  found: Processor | undefined,
): string {
  const { processor: name, processor_version: version } = needs;
  if (found === undefined) return `The processor ${name} is not installed here.`;
  return `It began with ${name} ${version}; installed is ${found.version}.`;
}
