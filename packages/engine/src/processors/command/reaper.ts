import type { ChildProcess } from 'node:child_process';
import { hasShell, startShell } from './shell.ts';

/**
 * A list of process groups, kept from its standard input: `+ 123`, `- 123`. When the input ends,
 * whoever kept it is dead, and what is left on the list is killed.
 */
const SCRIPT = `
alive=' '
while read -r change group; do
  case $change in
    +) alive="$alive$group " ;;
    -) alive="\${alive%% $group *} \${alive#* $group }" ;;
  esac
done
for group in $alive; do kill -KILL "-$group"; done 2>/dev/null
`;

/** Kills programs whose server died without a chance to do it itself. */
export type Reaper = {
  watch(group: number): void;
  forget(group: number): void;
};

/**
 * Starts the reaper with the first program: a shell of a megabyte. Without one (Windows, some
 * containers) programs outlive a killed server until they end by themselves.
 */
export function createReaper(): Reaper {
  let shell: ChildProcess | null = null;
  return {
    watch(group) {
      shell ??= hasShell() ? startReaper() : null;
      tell(`+ ${group}\n`);
    },
    forget: (group) => tell(`- ${group}\n`),
  };

  function tell(line: string): void {
    if (shell?.stdin?.writable === true) shell.stdin.write(line);
  }
}

function startReaper(): ChildProcess {
  // A session of its own: what ends this process by its terminal or group must not end the reaper.
  const started = startShell(SCRIPT, [], { stdio: ['pipe', 'ignore', 'ignore'], detached: true, env: {} });
  started.on('error', () => undefined);
  started.stdin?.on('error', () => undefined);
  // It waits for our end, so our end must not wait for it.
  started.unref();
  if (started.stdin !== null && 'unref' in started.stdin && typeof started.stdin.unref === 'function') {
    started.stdin.unref();
  }
  return started;
}
