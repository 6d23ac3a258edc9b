import type { Slots } from './slots.ts';

/** A batch that had no width left is not asked again for this long: its slots would be kept from others meanwhile. */
const NARROW_MS = 250;

/** The slots of its process that a turn holds, and the width that its lease has for them. */
export type HeldSlots = {
  /** Items the lease may run at the same time. */
  readonly width: number;
  /** Whether the batch had no more width a moment ago: nothing of it should wait for more. */
  readonly isNarrow: boolean;
  /** As many slots as the turn may have of `most`, its batch has width for, and this process can give. */
  reach(most: number): number;
  /** Takes slots up to this many, as far as there are free ones; answers how many are held. */
  takeUpTo(count: number): number;
  /** The lease has this width from here on, of what was wanted. */
  granted(width: number, wanted: number): void;
  /** Gives back what is beyond the width and the handlers that run, so that another turn can have it. */
  giveBackSurplus(running: number): void;
  /** There may be width again. */
  hope(): void;
  giveAllBack(): void;
};

/** @param options.held Slots that were taken for the turn. */
export function holdSlots(slots: Slots, options: { held: number; width: number }): HeldSlots {
  let { held, width } = options;
  let narrowUntil = 0;
  const isNarrow = () => performance.now() < narrowUntil;
  const keep = (count: number) => {
    slots.giveBack(held - count);
    held = count;
  };
  return {
    get width() {
      return width;
    },
    get isNarrow() {
      return isNarrow();
    },
    reach: (most) => Math.max(1, Math.min(most, held + (isNarrow() ? 0 : slots.free))),
    takeUpTo(count) {
      held += slots.take(count - held);
      return held;
    },
    granted(given, wanted) {
      width = given;
      if (given < wanted) narrowUntil = performance.now() + NARROW_MS;
    },
    giveBackSurplus(running) {
      keep(Math.min(held, Math.max(width, running)));
    },
    hope() {
      narrowUntil = 0;
    },
    giveAllBack: () => keep(0),
  };
}
