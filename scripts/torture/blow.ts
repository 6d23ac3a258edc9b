import { setTimeout as wait } from 'node:timers/promises';
import type { SeededChance } from '../../packages/engine/src/testing/chance.ts';
import type { Place } from './place.ts';
import { type Problem, problem } from './problem.ts';
import {
  childrenOf,
  killServer,
  type ServerProcess,
  sendSignal,
  startServer,
  untilChildless,
} from './server-process.ts';

/** How a round ends. */
export type Blow = {
  /** How long it comes after the first start of an item; `in_recovery` does not wait for that. */
  after_ms: number;
  in_recovery: boolean;
  /** The processes that run items die a moment before their server. */
  children_first: boolean;
  /** The server is stopped for this long, so that its leases run out, and goes on for a moment. */
  stop_ms: number;
  /** The next servers are killed this long after their start, most of them in their recovery. */
  again_after_ms: number[];
};

/** Longer than the six seconds for which a lease lives unrenewed. */
const STOP_MS = 7_300;

/** What a server that was stopped gets to find out what it lost. */
const AWAKE_MS = 1_500;

export function planBlow(chance: SeededChance): Blow {
  return {
    after_ms: 100 + chance.below(1_700),
    in_recovery: chance.often(0.2),
    children_first: chance.often(0.2),
    stop_ms: chance.often(0.03) ? STOP_MS : 0,
    again_after_ms: chance.often(0.15)
      ? Array.from({ length: 1 + chance.below(2) }, () => 300 + chance.below(1_500))
      : [],
  };
}

export function wordsFor({ in_recovery, children_first, stop_ms, again_after_ms }: Blow): string {
  const parts = [
    in_recovery ? 'in recovery' : '',
    stop_ms > 0 ? `stopped for ${stop_ms / 1000} s` : '',
    children_first ? 'children first' : '',
    again_after_ms.length > 0 ? `${again_after_ms.length + 1} times in a row` : '',
  ];
  return parts.filter(Boolean).join(', ');
}

export type Aftermath = { kills: number; problems: Problem[] };

/**
 * Stops and kills the server as planned; resolves when nothing of it is left.
 *
 * @param onKill Called at the moment of the kill: whoever calls the server after it talks to nobody.
 */
export async function strike(
  server: ServerProcess,
  blow: Blow,
  { place, onKill }: { place: Place; onKill: () => void },
): Promise<Aftermath> {
  if (blow.stop_ms > 0) {
    sendSignal(server.pid, 'SIGSTOP');
    await wait(blow.stop_ms);
    sendSignal(server.pid, 'SIGCONT');
    await wait(AWAKE_MS);
  }
  if (blow.children_first) {
    for (const pid of childrenOf(server.pid)) sendSignal(pid, 'SIGKILL');
    await wait(blow.after_ms % 60);
  }
  const dead = finish(server);
  onKill();
  const problems = await dead;
  for (const afterMs of blow.again_after_ms) {
    const next = startServer(place);
    await Promise.race([wait(afterMs), next.ended]);
    problems.push(...(await finish(next)));
  }
  return { kills: 1 + blow.again_after_ms.length, problems };
}

/** The kill itself. A server that was dead already died of something else. */
async function finish(server: ServerProcess): Promise<Problem[]> {
  const before = server.end();
  await killServer(server);
  const problems: Problem[] = [];
  if (before !== null) {
    const how = before.signal ?? `exit code ${before.code}`;
    problems.push(problem('process', `the server ended by itself: ${how}; server.log may say why`));
  }
  if (!(await untilChildless(server.pid)))
    problems.push(problem('process', `children of the killed server ${server.pid} go on without it`));
  return problems;
}
