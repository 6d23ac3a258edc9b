import type { Engine } from '@sheaf/engine';
import { type Frame, frameOf } from './frames.ts';

/** A client that missed more than this reads the batch again faster than it hears what happened. */
const MAX_REPLAYED = 1_000;

/**
 * The stored events after `since`, without a gap; null when they cannot be told that way: there are
 * too many, or the numbers are not of this batch's life.
 *
 * @param options.event_seq Where the batch was when it was read.
 */
export async function replay(
  engine: Engine,
  options: { space: string; batch_id: string; since: number; event_seq: number },
): Promise<Frame[] | null> {
  const { event_seq, since, ...target } = options;
  if (since > event_seq || event_seq - since > MAX_REPLAYED) return null;
  const events = await engine.events({ ...target, since, limit: MAX_REPLAYED + 100 });
  const isWhole =
    events.every(({ seq }, index) => seq === since + 1 + index) && events.length >= event_seq - since;
  return isWhole ? events.map(frameOf) : null;
}
