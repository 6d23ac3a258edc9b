import type { SheafEvent } from '@sheaf/protocol';
import type { RunNews } from './runner.ts';

/** Live news of one space. It may be lost; what must not be is in the Store's events. */
export interface Events {
  publish(space: string, event: SheafEvent): void;
  /** Calls `listener` for each event of the space until the answer is called. A listener must not throw: that ends the process. */
  subscribe(space: string, listener: (event: SheafEvent) => void): () => void;
  /** What an item at work in another process said last of itself; null when nothing was heard in the last half minute. */
  heardOf?(itemId: string): RunNews | null;
}
