/** Names of the environment that a program of somebody else's may see: where things are, and the language. */
const PASSED_ON =
  /^(?:PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_.*|TZ|TMPDIR|TEMP|TMP|SystemRoot|LD_LIBRARY_PATH)$/;

/** The environment for a child: an allow-list of ours, so that no secret leaks, and `extra`. */
export function childEnvironment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && PASSED_ON.test(name)) environment[name] = value;
  }
  return { ...environment, ...extra };
}

/** Whether children get a process group of their own, which can be killed as a whole. */
export const HAS_GROUPS = process.platform !== 'win32';

/** Signals a child that was started as the leader of its group, and all that it started. Never throws. */
export function signalGroup(pid: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(HAS_GROUPS ? -pid : pid, signal);
  } catch {
    // All of it is gone already.
  }
}
