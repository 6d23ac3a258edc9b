import { itemId } from '@sheaf/protocol';
import type { Clock } from '../../ports/clock.ts';
import type { RunNews } from '../../ports/runner.ts';
import type { ItemStep } from './message.ts';

/** What items of other processes said last of themselves. */
export type HeardSteps = {
  note(event: ItemStep['event']): void;
  of(itemId: string): RunNews | null;
};

/** So long an item may be at one step; or its next attempt pass for the one before. */
const KEEP_MS = 30_000;
const MAX_ITEMS = 10_000;

export function createHeardSteps(clock: Clock): HeardSteps {
  const heard = new Map<string, RunNews & { at: number }>();

  return {
    note({ batch_id, seq, step, percent }) {
      const id = itemId(batch_id, seq);
      // The one unheard of for longest comes first, and makes room.
      heard.delete(id);
      if (heard.size >= MAX_ITEMS) heard.delete(heard.keys().next().value ?? '');
      heard.set(id, { step, percent, at: clock.now() });
    },

    of(id) {
      const news = heard.get(id);
      return news === undefined || news.at < clock.now() - KEEP_MS ? null : news;
    },
  };
}
