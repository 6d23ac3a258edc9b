import type { Placed } from '../domain/place.ts';
import type { LeasedItem, RenewAnswer } from '../ports/leasing.ts';
import type { RunNews } from '../ports/runner.ts';

/** A stint on one batch: runs what its lease holds, records it, leases more, and ends. */
export type RunningTurn = {
  readonly token: string;
  readonly batch_id: string;
  /** Items at work, in no order. */
  readonly running: readonly RunningItem[];
  readonly priority: number;
  /** How many slots it could use. */
  readonly demand: number;
  /** When the right to start items was last confirmed, by the monotonic clock. */
  readonly confirmed_at: number;
  /** The answer of a renewal asked for at `asked`. */
  renewed(answer: RenewAnswer, asked: number): void;
  /**
   * Starts nothing until a renewal says that the batch is active again. Resolves when all that has
   * ended up to now is recorded.
   */
  hold(): Promise<void>;
  /** Starts nothing ever more; what runs is finished and recorded, the rest goes back unburned. */
  stop(): void;
  /** Also aborts what runs. */
  abort(): void;
  /**
   * Resolves when every handler has ended and all is recorded. `goesOn`: the batch may have more to
   * do; `isHeld`: the lease still holds items, to be given back; `pace`: items a second; `next_ready_at`:
   * when there is more to do, if that was said.
   */
  readonly done: Promise<TurnEnd>;
};

export type TurnEnd = { goesOn: boolean; isHeld: boolean; pace: number; next_ready_at: number | null };

export type RunningItem = Placed & { item: LeasedItem; started_at: number; news: RunNews | null };
