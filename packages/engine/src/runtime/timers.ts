/** A repeated piece of work that never overlaps itself. */
export type Repeating = {
  /** Runs it now, or once more right after the run under way. Resolves after a run that began later than the call. */
  nudge(): Promise<void>;
  stop(): Promise<void>;
};

/**
 * Runs `work` every `ms`, counted from the end of the last run. Its failures go to `onError` and end
 * nothing: the next run may succeed.
 */
export function every(ms: number, work: () => Promise<void>, onError: (error: unknown) => void): Repeating {
  let timer: NodeJS.Timeout | undefined;
  let current: Promise<void> | null = null;
  let isStopped = false;

  async function run(): Promise<void> {
    clearTimeout(timer);
    try {
      await work();
    } catch (error) {
      onError(error);
    }
    current = null;
    if (!isStopped) timer = setTimeout(start, ms);
  }
  function start(): void {
    current ??= run();
  }
  timer = setTimeout(start, ms);

  return {
    async nudge() {
      while (current !== null) await current;
      if (isStopped) return;
      start();
      await current;
    },
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      await current;
    },
  };
}
