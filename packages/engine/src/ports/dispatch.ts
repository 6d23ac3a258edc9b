/** An invitation to work on one batch, for the workers of one pool. @default pool 'default' */
export type Turn = { batch_id: string; n: number; priority: number; pool?: string };

/**
 * Who works next. It may lose, repeat or reorder turns: the Store is the truth, and the sweep offers
 * again what is missing.
 */
export interface Dispatch {
  /**
   * Offers turns. One that waits already stays where it is, unless its priority is another one; one
   * in hand is not filed, its `handBack` says `again`. Forgotten once closed.
   */
  offer(turns: readonly Turn[]): Promise<void>;
  /** The next turn, the highest priority first and round robin among equals; null once closed or aborted. */
  take(signal: AbortSignal): Promise<Turn | null>;
  /**
   * Ends a turn, the very one that `take` gave. `again`: it was offered while in hand, so look at the
   * Store once more and offer it anew.
   */
  handBack(turn: Turn): Promise<{ again: boolean }>;
  /**
   * Whether another batch waits for a turn, of this priority at least. A guess is enough: it decides
   * who goes next, never what is right.
   *
   * @default least any priority
   */
  hasWaiting(least?: number): boolean;
  close(): Promise<void>;
}
