/**
 * Tells when something happens too often: `burst` times at once, `per_second` times in the long run.
 *
 * @param options.now Milliseconds of any steady clock.
 */
export function createPace(options: { per_second: number; burst: number; now: () => number }): () => boolean {
  let left = options.burst;
  let at = options.now();
  return () => {
    const now = options.now();
    left = Math.min(options.burst, left + ((now - at) / 1_000) * options.per_second);
    at = now;
    left -= 1;
    return left < 0;
  };
}
