/** Below both of these an estimate would be a guess, so none is given. */
const ENOUGH_ITEMS = 20;
const ENOUGH_MS = 10_000;

/** Work that was seen finishing: how many items in how much *running* time (pauses excluded). */
export type Pace = { items: number; ms: number };

export type Eta = { low: number; high: number };

/**
 * How much of a batch is done, 0–100 with one decimal. Whatever ended counts: failed items are not
 * coming back by themselves. An empty batch is done; only a finished one reads 100.
 */
export function percentComplete(finished: number, total: number): number {
  if (total <= 0) return 100;
  if (finished >= total) return 100;
  return Math.min(99.9, Math.floor((finished / total) * 1000) / 10);
}

/**
 * The time left as a range in milliseconds, or null while there is too little to tell (fewer than
 * 20 items and less than 10 s of running time). Null, too, when nothing remains: a batch that is not
 * over by then is open and waits for more items, and nobody knows for how long.
 *
 * The pace of the whole batch and of its last minutes are blended, the recent one with the weight of
 * the progress made: early on the average is all there is, near the end what happens now counts.
 *
 * @param recent Items and running time of about the last two minutes.
 * @param fastest The pace that a rate limit allows at most: early on items start faster, all at once.
 * @param spread Half the width of the range as a share of the estimate; smaller as more is known.
 */
export function estimateRemaining(options: {
  remaining: number;
  overall: Pace;
  recent: Pace | null;
  fastest?: Pace | null;
  spread?: number;
}): Eta | null {
  const { remaining, overall, recent, fastest = null } = options;
  if (remaining <= 0) return null;
  if (overall.items < ENOUGH_ITEMS && overall.ms < ENOUGH_MS) return null;
  if (overall.items === 0 || overall.ms <= 0) return null;
  const progress = overall.items / (overall.items + remaining);
  const seen = blend(rateOf(overall), recent === null ? 0 : rateOf(recent), progress);
  const rate = fastest === null ? seen : Math.min(seen, rateOf(fastest));
  const middle = remaining / rate;
  const spread = options.spread ?? Math.max(0.05, 0.5 / Math.sqrt(overall.items));
  return { low: Math.floor(middle * (1 - spread)), high: Math.ceil(middle * (1 + spread)) };
}

function blend(overall: number, recent: number, weight: number): number {
  return recent > 0 ? overall * (1 - weight) + recent * weight : overall;
}

/** Items a millisecond. */
function rateOf(pace: Pace): number {
  return pace.ms > 0 ? pace.items / pace.ms : 0;
}

/** An estimate in words: "under 1 min", "~4 min", "~11–13 min". Null stays silent. */
export function etaText(eta: Eta | null): string | null {
  if (eta === null) return null;
  if (eta.high < 60_000) return eta.high < 1_500 ? '~1 s' : `~${Math.ceil(eta.high / 1000)} s`;
  const unit = eta.high < 5_400_000 ? 60_000 : 3_600_000;
  const word = unit === 60_000 ? 'min' : 'h';
  const [low, high] = [Math.max(1, Math.round(eta.low / unit)), Math.max(1, Math.round(eta.high / unit))];
  return low === high ? `~${high} ${word}` : `~${low}–${high} ${word}`;
}
