import type { RunNews } from '../../ports/runner.ts';

const GAP_MS = 100;

/** Lets news through at most every 100 ms, the latest of them; an item may report in a tight loop. */
export function createNewsGate(pass: (news: RunNews) => void): { pass(news: RunNews): void; drop(): void } {
  let passedAt = -GAP_MS;
  let late: RunNews | null = null;
  let timer: NodeJS.Timeout | null = null;
  return {
    pass(news) {
      const now = performance.now();
      if (timer === null && now - passedAt >= GAP_MS) {
        passedAt = now;
        pass(news);
        return;
      }
      late = news;
      timer ??= setTimeout(() => {
        timer = null;
        passedAt = performance.now();
        if (late !== null) pass(late);
        late = null;
      }, GAP_MS);
    },
    /** Forgets what waits: the item is over. */
    drop() {
      if (timer !== null) clearTimeout(timer);
      timer = null;
      late = null;
    },
  };
}
