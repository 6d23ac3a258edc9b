/** A bar of this many cells: what is done, what failed, what is left. Something is never shown as nothing. */
export function bar(cells: number, parts: { completed: number; failed: number; total: number }): string {
  if (cells <= 0) return '';
  const { completed, failed, total } = parts;
  if (total <= 0) return EMPTY.repeat(cells);
  const isOver = completed + failed >= total;
  const bad = failed > 0 ? Math.max(1, Math.floor((failed / total) * cells)) : 0;
  const reach = isOver ? cells : Math.min(cells - 1, Math.floor(((completed + failed) / total) * cells));
  const good = Math.max(0, Math.min(reach, cells) - bad);
  return (
    DONE.repeat(good) + FAILED.repeat(Math.min(bad, cells)) + EMPTY.repeat(Math.max(0, cells - good - bad))
  );
}

const DONE = '█';
const FAILED = '▒';
const EMPTY = '░';
