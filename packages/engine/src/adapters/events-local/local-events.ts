import type { Events } from '../../ports/events.ts';
import { createSpaceListeners } from '../space-listeners.ts';

/** Events within one process: listeners are called at once, in the order they subscribed. */
export function createLocalEvents(): Events {
  const { publish, subscribe } = createSpaceListeners();
  return { publish, subscribe };
}
