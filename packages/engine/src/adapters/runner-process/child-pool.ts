import type { Json } from '@sheaf/protocol';
import { type Child, type Death, startChild } from './child-handle.ts';
import { residentBytes } from './memory.ts';

/** A child of the pool and what it has loaded. */
export type PooledChild = {
  child: Child;
  /** The processor module it serves; null for a spare, which has loaded none yet. */
  module: string | null;
  isLoaded: boolean;
  isBusy: boolean;
  /** The config it was sent last, to send it once and not with every item. */
  config: Json | undefined;
  served: number;
  startedAt: number;
  idleSince: number;
  bytes: number;
};

export type ChildPoolOptions = {
  max_children: number;
  spare: number;
  max_items_per_child: number;
  min_child_age_ms: number;
  idle_ms: number;
  env: Readonly<Record<string, string>>;
  exec_argv: readonly string[];
};

export type ChildPoolListeners = {
  onMessage(pooled: PooledChild, message: Record<string, unknown>): void;
  onLine(pooled: PooledChild, line: string): void;
  onDeath(pooled: PooledChild, death: Death): void;
};

/**
 * The children of a runner: kept warm for the module they have loaded, with a spare that has loaded
 * none, so that the start of a process (some 100 ms) is rarely waited for.
 */
export function createChildPool(options: ChildPoolOptions, listeners: ChildPoolListeners) {
  const members = new Set<PooledChild>();

  return {
    /** A child for the module: a warm one, the spare, or a new one in place of one idle for longest. */
    acquire(module: string): PooledChild {
      const pooled = idleChild(module) ?? idleChild(null) ?? startInPlace();
      pooled.isBusy = true;
      if (pooled.module === null) {
        pooled.module = module;
        pooled.child.send({ do: 'load', module });
      }
      return pooled;
    },

    /** Keeps a child for more items, unless it has served or grown enough. */
    release(pooled: PooledChild, items: number, maxMemoryBytes: number): void {
      pooled.served += items;
      pooled.isBusy = false;
      pooled.idleSince = performance.now();
      const isOld =
        pooled.served >= options.max_items_per_child &&
        pooled.idleSince - pooled.startedAt > options.min_child_age_ms;
      // A slow leak ends between two items instead of failing one.
      if (isOld || pooled.bytes > maxMemoryBytes * 0.75) discard(pooled);
    },

    discard,

    /** Reads how much memory a child holds with all it started; null where that cannot be read. */
    measure(pooled: PooledChild): number | null {
      const bytes = residentBytes(pooled.child.pid);
      pooled.bytes = bytes ?? 0;
      return bytes;
    },

    /** Ends what was idle for too long, and starts the spare. To be called about once a second. */
    tend(): void {
      const idleBefore = performance.now() - options.idle_ms;
      for (const pooled of members) {
        if (!pooled.isBusy && pooled.module !== null && pooled.idleSince < idleBefore) discard(pooled);
      }
      const all = [...members];
      const spares = all.filter(({ module }) => module === null).length;
      // A spare only stands behind children that work; nothing runs, nothing is kept ready.
      if (all.some(({ module }) => module !== null)) {
        for (let missing = options.spare - spares; missing > 0; missing--) start();
      } else {
        for (const pooled of all) discard(pooled);
      }
    },

    /** Children that are not dead yet, whether in use or not. */
    get size(): number {
      return members.size;
    },

    /** Kills every child; their `onDeath` follows. */
    killAll(): void {
      for (const { child } of members) child.kill();
    },
  };

  function idleChild(module: string | null): PooledChild | undefined {
    for (const pooled of members) {
      if (!pooled.isBusy && pooled.module === module && pooled.child.isAlive()) return pooled;
    }
    return undefined;
  }

  function startInPlace(): PooledChild {
    if (members.size >= options.max_children + options.spare) {
      const idle = [...members].filter(({ isBusy }) => !isBusy).sort((a, b) => a.idleSince - b.idleSince);
      if (idle[0] !== undefined) discard(idle[0]);
    }
    return start();
  }

  function start(): PooledChild {
    const pooled: PooledChild = {
      child: startChild(options, {
        onMessage: (message) => listeners.onMessage(pooled, message),
        onLine: (line) => listeners.onLine(pooled, line),
        onDeath: (death) => {
          members.delete(pooled);
          listeners.onDeath(pooled, death);
        },
      }),
      module: null,
      isLoaded: false,
      isBusy: false,
      config: undefined,
      served: 0,
      startedAt: performance.now(),
      idleSince: performance.now(),
      bytes: 0,
    };
    members.add(pooled);
    return pooled;
  }

  /** Ends a child that nobody waits for. It stays a member until it is dead, but gets no more work. */
  function discard(pooled: PooledChild): void {
    pooled.isBusy = true;
    pooled.child.kill();
  }
}
