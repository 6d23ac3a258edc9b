import type { Clock } from '../ports/clock.ts';
import type { Dispatch } from '../ports/dispatch.ts';
import type { Events } from '../ports/events.ts';
import type { Files } from '../ports/files.ts';
import type { Store } from '../ports/store.ts';

/** The ports, opened: all that differs between a laptop and a cluster. */
export type Deployment = {
  store: Store;
  dispatch: Dispatch;
  files: Files;
  events: Events;
  clock: Clock;
  /** Whether other processes work on the same Store. */
  isShared: boolean;
};

export type DeploymentOptions = {
  /** The engine's own folder, absolute; it exists. */
  folder: string;
  /** Names this start of the process among all others. */
  boot: string;
  /** Closes what was opened, last opened first. */
  opened: AsyncDisposableStack;
};
