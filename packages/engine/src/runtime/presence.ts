import type { Clock } from '../ports/clock.ts';
import type { Store, WorkerBeat } from '../ports/store.ts';
import { every } from './timers.ts';

/** A worker that is not seen for 6 s is dead: several beats may be late or lost before that. */
const BEAT_MS = 1_000;

/** Says in the Store that this process lives, and knows how many others do. */
export type Presence = {
  /** Workers alive at the last beat, this one among them. */
  readonly workers: number;
  /** Ends it in an orderly way: nobody counts this as a death. */
  close(): Promise<void>;
};

/** @param options.describe This worker as it is now. */
export async function startPresence(options: {
  store: Pick<Store, 'beat' | 'workers' | 'leave'>;
  clock: Clock;
  describe: () => WorkerBeat;
  onError: (error: unknown) => void;
}): Promise<Presence> {
  const { store, clock, describe } = options;
  let workers = 1;

  async function beat(): Promise<void> {
    await store.beat(describe(), clock.now());
    const known = await store.workers(clock.now());
    workers = Math.max(1, known.filter((worker) => worker.is_alive).length);
  }

  // The first one before anything is leased: a lease without a living worker is taken away.
  await beat();
  const beats = every(BEAT_MS, beat, options.onError);
  return {
    get workers() {
      return workers;
    },
    async close() {
      await beats.stop();
      await store.leave({ boot: describe().boot, now: clock.now() });
    },
  };
}
