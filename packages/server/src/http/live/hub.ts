import type { Engine } from '@sheaf/engine';
import type { SheafEvent } from '@sheaf/protocol';
import { DEFAULT_SPACE } from '../call.ts';
import { createFrames, type Frame, topicsOf } from './frames.ts';

/** @param topics Those of the frame, of which the listener has at least one. */
export type FrameListener = (frame: Frame, topics: readonly string[]) => void;

/** Hands the engine's news to the connections that listen, each frame made once for all of them. */
export type Hub = {
  /** Calls the listener once for each frame of the topic, however many of its topics it belongs to. */
  listen(topic: string, listener: FrameListener): () => void;
  /** Calls `end` when the server goes down; the answer takes that back. */
  onClose(end: () => void): () => void;
  close(): void;
};

export function createHub(engine: Engine, now: () => number = () => performance.now()): Hub {
  const listeners = new Map<string, Set<FrameListener>>();
  const ends = new Set<() => void>();
  const framesOf = createFrames(now);
  const stop = engine.subscribe({ space: DEFAULT_SPACE }, publish);

  return {
    listen(topic, listener) {
      const set = listeners.get(topic) ?? new Set();
      listeners.set(topic, set.add(listener));
      return () => {
        set.delete(listener);
        if (set.size === 0 && listeners.get(topic) === set) listeners.delete(topic);
      };
    },
    onClose(end) {
      ends.add(end);
      return () => ends.delete(end);
    },
    close() {
      stop();
      for (const end of ends) end();
    },
  };

  function publish(event: SheafEvent): void {
    const topics = topicsOf(event);
    const interested = new Set(topics.flatMap((topic) => [...(listeners.get(topic) ?? [])]));
    if (interested.size === 0) return;
    for (const frame of framesOf(event)) {
      for (const listener of interested) listener(frame, topics);
    }
  }
}
