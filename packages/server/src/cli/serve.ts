import type { Engine } from '@sheaf/engine';
import { loadConfig, type Settings } from '../config.ts';
import { type Context, configInput, type Globals, note } from './context.ts';
import { listenForEnd } from './interrupt.ts';

/** Longest wait for running items when a server or worker is asked to end. */
export const DRAIN_MS = 30_000;

/** Flags of the commands that stay and work: `up` and `worker`. */
export type ServeFlags = {
  database?: string;
  files?: string;
  pools?: string;
  concurrency?: string;
  recovery?: string;
  logLevel?: string;
  processor?: string[];
};

/** The settings with the flags that were given; those of one command alone come as `settings`. */
export function settingsOf(
  globals: Globals,
  flags: ServeFlags & { settings?: Partial<Record<keyof Settings, unknown>> },
): Settings {
  const input = configInput(globals, process.env);
  const { database, files, pools, concurrency, recovery, logLevel, settings } = flags;
  const given = { database, files, pools, concurrency, recovery, log_level: logLevel, ...settings };
  const wanted = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return loadConfig({ ...input, flags: { ...input.flags, ...wanted } });
}

/** Works until a signal asks for the end, or until the engine had to stop by itself. */
export async function untilEnd(
  context: Context,
  host: { engine: Engine; close(options: { drain_ms: number }): Promise<void> },
  farewell: string,
): Promise<number> {
  const interrupts = listenForEnd({
    onSecond: () => void host.close({ drain_ms: 0 }),
  });
  const asked = new Promise<null>((resolve) => {
    interrupts.first.addEventListener('abort', () => resolve(null));
  });
  try {
    await Promise.race([asked, host.engine.failed]);
  } catch (error) {
    // The disk does not keep what is written: an orderly end would need it.
    await host.close({ drain_ms: 0 }).catch(() => undefined);
    throw error;
  }
  note(
    context,
    `Stopping: running items finish (at most ${DRAIN_MS / 1000} s) or go back in line. ^C again stops at once.`,
  );
  await host.close({ drain_ms: DRAIN_MS });
  interrupts.stop();
  note(context, farewell);
  return 0;
}
