/** Fast work is leased in lots of this size at most: two commits of it. Slow work is leased one item a slot. */
const MAX_CHUNK = 4_000;

/** Items leased ahead at most: enough for the handlers while two commits are under way. */
const MAX_AHEAD = 2 * MAX_CHUNK;

/** Items are leased this far ahead at least: half of it outlasts a commit and the tenth of a second that gathers for it. */
const AHEAD_SECONDS = 0.35;

/** A pace is believed for this many times the items it was seen with: a batch that fails is found out early. */
const GROWTH = 4;

/**
 * How many items a turn should lease now: enough for its slots, and for fast work what it does in a
 * third of a second beside them. Where commits take longer than that it is what it does in two of
 * them: with less, the pace would be what a commit brings, and would never find out that it could be
 * higher. Asked for in lots, so that a record does not fetch a handful each time.
 *
 * @param options.pace Items a second.
 * @param options.seen How many items that pace was seen with.
 * @param options.record_seconds How long the last record took.
 * @param options.idle Slots with nothing to do.
 * @param options.coming Items leased but not started, and those asked for already.
 */
export function itemsToLease(options: {
  pace: number;
  seen: number;
  record_seconds: number;
  idle: number;
  coming: number;
}): number {
  const { pace, seen, record_seconds, idle, coming } = options;
  const ahead = Math.max(AHEAD_SECONDS, 2 * record_seconds);
  const spare = Math.min(MAX_AHEAD, Math.floor(pace * ahead), GROWTH * seen);
  const lacking = spare + idle - coming;
  return coming < idle || lacking > spare / 2 ? Math.min(MAX_CHUNK, Math.max(0, lacking)) : 0;
}
