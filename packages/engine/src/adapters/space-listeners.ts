import type { SheafEvent } from '@sheaf/protocol';
import type { Events } from '../ports/events.ts';

type Subscription = { listener: (event: SheafEvent) => void };

/** The listeners of one process: called at once, in the order they subscribed. */
export type SpaceListeners = Events & {
  /** Whether anybody listens to the space. */
  has(space: string): boolean;
  spaces(): string[];
};

export function createSpaceListeners(): SpaceListeners {
  const spaces = new Map<string, Set<Subscription>>();

  return {
    has: (space) => spaces.has(space),
    spaces: () => [...spaces.keys()],

    publish(space, event) {
      for (const { listener } of spaces.get(space) ?? []) {
        try {
          listener(event);
        } catch (error) {
          // A mistake of the listener's: it ends the process like any other, but not inside the
          // publisher, who may be in the middle of a record.
          queueMicrotask(() => {
            throw error;
          });
        }
      }
    },

    subscribe(space, listener) {
      const subscriptions = spaces.get(space) ?? new Set();
      // An object of its own: the same function may listen twice, and stop once.
      const subscription = { listener };
      subscriptions.add(subscription);
      spaces.set(space, subscriptions);
      return () => {
        subscriptions.delete(subscription);
        if (subscriptions.size === 0 && spaces.get(space) === subscriptions) spaces.delete(space);
      };
    },
  };
}
