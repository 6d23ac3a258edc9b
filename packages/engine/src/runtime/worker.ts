import { randomUUID } from 'node:crypto';
import type { Clock } from '../ports/clock.ts';
import type { Dispatch, Turn } from '../ports/dispatch.ts';
import type { Lease } from '../ports/leasing.ts';
import type { Processor } from '../ports/processor.ts';
import type { Store } from '../ports/store.ts';
import { every } from './timers.ts';
import { type RunningItem, type RunningTurn, startTurn, type TurnTools } from './turn.ts';

/** Renewals come twice as often as the right to start items lasts. */
const RENEW_MS = 400;

/** The works of this process: takes turns, leases, and keeps the leases alive. */
export type Worker = {
  /** Items of a batch at work in this process. */
  running(batchId: string): RunningItem[];
  /** Starts no more items of a batch here; resolves when its outcomes up to now are recorded. */
  hold(batchId: string): Promise<void>;
  /** Breaks off what runs of a batch here. */
  abort(batchId: string): void;
  /** Breaks off everything that runs. */
  abortAll(): void;
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
  tools: Omit<TurnTools, 'mustYield'>;
  findProcessor: (name: string) => Processor | undefined;
  /** Called when a turn has ended: offers the batch again, or waits until its next retry is due. */
  onTurnEnd: (turn: Turn, end: { goesOn: boolean; next_ready_at: number | null }) => Promise<void>;
  onError: (error: unknown) => void;
}): Worker {
  const { store, dispatch, clock, boot } = options;
  const { slots } = options.tools;
  const turns = new Set<RunningTurn>();
  const closing = new AbortController();
  const paces = new Map<string, number>();
  const missing = new Map<string, string>();
  /** A turn that got slots only in its mind yet: another one has to make room. */
  let isWaiting = false;
  /** Set while an item must run alone: everybody else ends first, and nobody comes in. */
  let quiet: Promise<unknown> | null = null;
  const tools: TurnTools = {
    ...options.tools,
    mustYield: () => isWaiting || quiet !== null || dispatch.hasWaiting(),
  };
  const busy = new Set<Promise<void>>();
  const renewals = every(RENEW_MS, renew, options.onError);
  const loop = takeTurns();

  async function takeTurns(): Promise<void> {
    while (!closing.signal.aborted) {
      const turn = await dispatch.take(closing.signal);
      if (turn === null) return;
      isWaiting = true;
      while (slots.free === 0 || quiet !== null) await (quiet ?? slots.available());
      isWaiting = false;
      if (closing.signal.aborted) return;
      const work = serve(turn).catch(options.onError);
      busy.add(work);
      void work.finally(() => busy.delete(work));
    }
  }

  async function serve(turn: Turn): Promise<void> {
    let end: WorkEnd = { goesOn: false, next_ready_at: null, refused: null };
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
      return await work(turn, { idle: true });
    } finally {
      quiet = null;
      over.resolve();
    }
  }

  type WorkEnd = { goesOn: boolean; next_ready_at: number | null; refused: string | null };

  async function work(turn: Turn, { idle }: { idle: boolean }): Promise<WorkEnd> {
    const held = slots.take(slots.free);
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
        now,
      });
    } catch (error) {
      slots.giveBack(held);
      throw error;
    }
    if ('refused' in answer) {
      slots.giveBack(held);
      const { refused, next_ready_at } = answer;
      return { goesOn: false, next_ready_at, refused };
    }
    return run(answer.lease, { held, pace, asked });
  }

  async function run(
    lease: Lease,
    { held, pace, asked }: { held: number; pace: number; asked: number },
  ): Promise<WorkEnd> {
    const processor = options.findProcessor(lease.batch.processor);
    const problem = unfit(lease, processor);
    if (processor === undefined || problem !== null) {
      missing.set(lease.batch.id, problem ?? '');
      slots.giveBack(held);
      await store.release([lease.token], clock.now());
      return { goesOn: false, next_ready_at: null, refused: null };
    }
    missing.delete(lease.batch.id);
    const turn = startTurn(tools, { lease, processor, held, pace, asked });
    turns.add(turn);
    if (quiet !== null && !lease.alone) turn.stop();
    try {
      const end = await turn.done;
      paces.set(lease.batch.id, end.pace);
      if (end.isHeld) await store.release([turn.token], clock.now());
      return { goesOn: end.goesOn || end.isHeld, next_ready_at: null, refused: null };
    } finally {
      turns.delete(turn);
    }
  }

  async function renew(): Promise<void> {
    const due = [...turns].filter((turn) => performance.now() - turn.confirmed_at > RENEW_MS / 2);
    if (due.length === 0) return;
    const asked = performance.now();
    const answers = await store.renew(
      due.map((turn) => turn.token),
      clock.now(),
    );
    for (const [index, answer] of answers.entries()) due[index]?.renewed(answer, asked);
  }

  const of = (batchId: string) => [...turns].filter((turn) => turn.batch_id === batchId);

  return {
    running: (batchId) => of(batchId).flatMap((turn) => [...turn.running.values()]),
    async hold(batchId) {
      await Promise.all(of(batchId).map((turn) => turn.hold()));
    },
    abort(batchId) {
      for (const turn of of(batchId)) turn.abort();
    },
    abortAll() {
      for (const turn of turns) turn.abort();
    },
    refresh: () => renewals.nudge(),
    waitingFor: (batchId) => missing.get(batchId) ?? null,
    async close(drainMs) {
      closing.abort();
      for (const turn of turns) turn.stop();
      const ended = Promise.allSettled([...busy]);
      const cut = setTimeout(() => {
        for (const turn of turns) turn.abort();
      }, drainMs);
      await ended;
      clearTimeout(cut);
      await dispatch.close();
      await loop;
      await renewals.stop();
    },
  };
}

/** Another major version may mean other results: the batch waits for the one it began with. */
function unfit(lease: Lease, processor: Processor | undefined): string | null {
  const { processor: name, processor_version: version } = lease.batch;
  if (processor === undefined) return `The processor ${name} is not installed here.`;
  const major = (text: string) => text.split('.')[0];
  if (major(processor.version) === major(version)) return null;
  return `It began with ${name} ${version}; installed is ${processor.version}.`;
}
