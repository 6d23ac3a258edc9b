import { turnsOf } from '../domain/turns.ts';
import type { Clock } from '../ports/clock.ts';
import type { Dispatch } from '../ports/dispatch.ts';
import type { Files } from '../ports/files.ts';
import type { Store } from '../ports/store.ts';
import { removeDoomed } from './removal.ts';
import { every } from './timers.ts';

const SWEEP_MS = 1_000;
const RETENTION_MS = 60_000;

/** What falls due one after the other is offered together, this far apart. */
const LEAST_WAIT_MS = 20;

/** Batches offered by one sweep; the next one is a second away. */
const OFFER_LIMIT = 1_000;

/** Rows one pruning transaction removes: records wait behind it. */
const PRUNE_ROWS = 5_000;

const STALE_UPLOADS_MS = 3_600_000;

const DAY_MS = 86_400_000;

/** The periodic repair: what was forgotten is offered again, what is late is woken, what is old goes. */
export type Sweep = {
  /** Offers what is ready when the time has come; an earlier wake-up wins. */
  wakeAt(at: number): void;
  /** Sweeps now. */
  now(): Promise<void>;
  close(): Promise<void>;
};

/**
 * @param options.renewOwn Renews the leases of this process.
 * @param options.recoverLost Takes the leases of workers away that died since; nothing to do for who is alone.
 * @param options.workers How many workers live now, this one among them.
 */
export function startSweep(options: {
  store: Store;
  dispatch: Dispatch;
  files: Files;
  clock: Clock;
  retention_days: number;
  renewOwn: () => Promise<void>;
  recoverLost: () => Promise<void>;
  workers: () => number;
  onError: (error: unknown) => void;
}): Sweep {
  const { store, dispatch, files, clock } = options;
  let wake: { at: number; timer: NodeJS.Timeout } | null = null;
  let isClosed = false;
  let staleUploadsAt = 0;
  const repairs = every(SWEEP_MS, repair, options.onError);
  const retention = every(RETENTION_MS, forget, options.onError);
  /** Each repair asks for one; in between they come when something falls due. */
  const offers = every(RETENTION_MS, offerReady, options.onError);

  async function repair(): Promise<void> {
    // After a jump of the clock, or a thread that was busy for long, our own leases look forsaken, too.
    await options.renewOwn();
    await options.recoverLost();
    await store.sweep(clock.now());
    await offers.nudge();
  }

  async function offerReady(): Promise<void> {
    const { batches, next_ready_at } = await store.ready({ now: clock.now(), limit: OFFER_LIMIT });
    await dispatch.offer(batches.flatMap((batch) => turnsOf(batch, options.workers())));
    if (next_ready_at !== null) wakeAt(next_ready_at);
  }

  async function forget(): Promise<void> {
    const now = clock.now();
    await store.expire({ space: null, before: now - options.retention_days * DAY_MS, now });
    await prune();
    await removeDoomed({ store, files, clock, isClosing: () => isClosed });
    if (now < staleUploadsAt) return;
    staleUploadsAt = now + STALE_UPLOADS_MS;
    await files.removeStaleUploads?.(now);
  }

  /** Slice by slice, so that a deleted batch of millions holds nobody up. */
  async function prune(): Promise<void> {
    while (!isClosed) {
      const { removed } = await store.prune({ now: clock.now(), limit: PRUNE_ROWS });
      if (removed === 0) return;
    }
  }

  function wakeAt(at: number): void {
    if (isClosed || (wake !== null && wake.at <= at)) return;
    if (wake !== null) clearTimeout(wake.timer);
    const wait = Math.min(Math.max(LEAST_WAIT_MS, at - clock.now()), SWEEP_MS);
    const timer = setTimeout(() => {
      wake = null;
      void offers.nudge();
    }, wait);
    wake = { at, timer };
  }

  return {
    wakeAt,
    now: () => repairs.nudge(),
    async close() {
      isClosed = true;
      if (wake !== null) clearTimeout(wake.timer);
      await repairs.stop();
      await offers.stop();
      await retention.stop();
    },
  };
}
