import type { SheafEvent } from '@sheaf/protocol';

/** Live news of one space. It may be lost; what must not be is in the Store's events. */
export interface Events {
  publish(space: string, event: SheafEvent): void;
  /** Calls `listener` for each event of the space until the answer is called. A listener must not throw: that ends the process. */
  subscribe(space: string, listener: (event: SheafEvent) => void): () => void;
}
