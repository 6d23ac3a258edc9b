import type { Dispatch, Turn } from '../../ports/dispatch.ts';

/** The turns of one priority: batches in a ring, each with its turns in the order they were offered. */
type Level = { priority: number; batches: Map<string, Turn[]> };

/**
 * Dispatch in memory, for one process: exact priorities, exact round robin, and nothing kept at a
 * restart (the sweep offers again).
 *
 * A turn in hand that is offered again is not filed: `handBack` says so, and the caller looks at the
 * Store and offers it anew. Offers after `close` are forgotten.
 */
export function createLocalDispatch(): Dispatch {
  const levels: Level[] = [];
  const waiting = new Map<string, Turn>();
  const inHand = new Map<string, { again: boolean }>();
  const takers = new Set<(turn: Turn | null) => void>();
  let closed = false;

  return {
    async offer(turns) {
      if (closed) return;
      for (const turn of turns) offerOne(turn);
      // Only when all are filed: the first of the list need not be the first to go.
      serve();
    },

    take(signal) {
      if (closed || signal.aborted) return Promise.resolve(null);
      const turn = next();
      if (turn !== null) return Promise.resolve(turn);
      return new Promise((resolve) => {
        const taker = (answer: Turn | null) => {
          takers.delete(taker);
          signal.removeEventListener('abort', onAbort);
          resolve(answer);
        };
        const onAbort = () => taker(null);
        signal.addEventListener('abort', onAbort, { once: true });
        takers.add(taker);
      });
    },

    async handBack(turn) {
      const key = keyOf(turn);
      const again = inHand.get(key)?.again ?? false;
      inHand.delete(key);
      return { again };
    },

    hasWaiting: (least = Number.NEGATIVE_INFINITY) => (levels[0]?.priority ?? Number.NaN) >= least,

    async close() {
      closed = true;
      levels.length = 0;
      waiting.clear();
      for (const taker of takers) taker(null);
    },
  };

  function offerOne(turn: Turn): void {
    const key = keyOf(turn);
    const held = inHand.get(key);
    if (held !== undefined) {
      held.again = true;
      return;
    }
    const filed = waiting.get(key);
    if (filed?.priority === turn.priority) return;
    if (filed !== undefined) unfile(filed);
    file(turn);
  }

  function serve(): void {
    for (const taker of takers) {
      const turn = next();
      if (turn === null) return;
      taker(turn);
    }
  }

  /** Takes the best turn out; its batch goes to the end of its ring. */
  function next(): Turn | null {
    const level = levels[0];
    if (level === undefined) return null;
    const [first] = level.batches;
    const turn = first?.[1][0];
    if (turn === undefined) return null;
    unfile(turn);
    const rest = level.batches.get(turn.batch_id);
    if (rest !== undefined) {
      // A Map keeps the order of insertion, so it is the ring.
      level.batches.delete(turn.batch_id);
      level.batches.set(turn.batch_id, rest);
    }
    inHand.set(keyOf(turn), { again: false });
    return turn;
  }

  function file(turn: Turn): void {
    const at = levels.findIndex(({ priority }) => priority <= turn.priority);
    let level = levels[at];
    if (level?.priority !== turn.priority) {
      level = { priority: turn.priority, batches: new Map() };
      levels.splice(at === -1 ? levels.length : at, 0, level);
    }
    const turns = level.batches.get(turn.batch_id);
    if (turns === undefined) level.batches.set(turn.batch_id, [turn]);
    else turns.push(turn);
    waiting.set(keyOf(turn), turn);
  }

  function unfile(turn: Turn): void {
    waiting.delete(keyOf(turn));
    const at = levels.findIndex(({ priority }) => priority === turn.priority);
    const level = levels[at];
    const turns = level?.batches.get(turn.batch_id);
    if (level === undefined || turns === undefined) return;
    turns.splice(turns.indexOf(turn), 1);
    if (turns.length === 0) level.batches.delete(turn.batch_id);
    if (level.batches.size === 0) levels.splice(at, 1);
  }
}

function keyOf(turn: Turn): string {
  return `${turn.batch_id}:${turn.n}`;
}
