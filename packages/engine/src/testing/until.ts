/**
 * Waits until a condition holds, looking every few milliseconds: for what only the system can tell,
 * as whether a process is gone.
 *
 * @param what Names the condition in the error when the limit passes.
 */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  { limit_ms = 10_000 }: { limit_ms?: number } = {},
): Promise<void> {
  const end = performance.now() + limit_ms;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`After ${limit_ms} ms it still does not hold: ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
