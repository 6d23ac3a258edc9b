/** Signals by which a person or a supervisor asks a process to end. */
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

export type Interrupts = {
  /** Aborts at the first request to end. */
  first: AbortSignal;
  /** The signal that came first, for the exit code. */
  signal: NodeJS.Signals | null;
  stop(): void;
};

/**
 * Listens for requests to end: the first is answered in good order, the second at once by `onSecond`,
 * and a third ends the process.
 */
export function listenForEnd(options: { onFirst?: () => void; onSecond?: () => void } = {}): Interrupts {
  const first = new AbortController();
  let times = 0;
  const listen = (signal: NodeJS.Signals) => {
    times += 1;
    if (times === 1) {
      interrupts.signal = signal;
      options.onFirst?.();
      first.abort();
    } else if (times === 2) options.onSecond?.();
    else process.exit(exitCodeOf(signal));
  };
  for (const signal of SIGNALS) process.on(signal, listen);
  const interrupts: Interrupts = {
    first: first.signal,
    signal: null,
    stop() {
      for (const signal of SIGNALS) process.off(signal, listen);
    },
  };
  return interrupts;
}

/** 130 for ^C, 143 for SIGTERM: what shells say of a process that a signal ended. */
export function exitCodeOf(signal: NodeJS.Signals | null): number {
  return signal === 'SIGTERM' ? 143 : 130;
}
