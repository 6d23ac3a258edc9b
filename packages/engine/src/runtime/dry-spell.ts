import type { Clock } from '../ports/clock.ts';

/** Looks at the Store come no closer together than this, however many retries fall due one after another. */
const LEAST_WAIT_MS = 20;

/** Waits are looked at again after this long: the limit may have been raised, or the clock set. */
const MOST_WAIT_MS = 1_000;

/** What a turn knows of whether its batch has more that is ready: all may be in somebody's hands, or have to wait. */
export type DrySpell = {
  /** The last record asked for more and got nothing. */
  readonly isDry: boolean;
  /** When there is more, if the Store could say. */
  readonly next_ready_at: number | null;
  /** What a record that asked for `more` has brought. After one that asked for none it is worth asking again. */
  recorded(more: number, answer: { items: readonly unknown[]; next_ready_at: number | null }): void;
  /** Slots may have come free: it is worth asking again, unless the Store could say when there is more. */
  hope(): void;
  end(): void;
};

/** @param onReady Called once when the time has come; it is worth asking again. */
export function watchDrySpell(clock: Clock, onReady: () => void): DrySpell {
  let isDry = false;
  let nextReadyAt: number | null = null;
  let timer: NodeJS.Timeout | undefined;
  return {
    get isDry() {
      return isDry;
    },
    get next_ready_at() {
      return nextReadyAt;
    },
    recorded(more, { items, next_ready_at }) {
      isDry = more > 0 && items.length === 0;
      if (more === 0) return;
      clearTimeout(timer);
      nextReadyAt = next_ready_at;
      if (!isDry || next_ready_at === null) return;
      const wait = Math.min(Math.max(next_ready_at - clock.now(), LEAST_WAIT_MS), MOST_WAIT_MS);
      timer = setTimeout(() => {
        isDry = false;
        onReady();
      }, wait);
    },
    hope() {
      // What is known to come later is not asked for twice a second; the timer looks once in a while.
      if (nextReadyAt === null || nextReadyAt <= clock.now()) isDry = false;
    },
    end: () => clearTimeout(timer),
  };
}
