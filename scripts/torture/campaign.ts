import { setTimeout as wait } from 'node:timers/promises';
import { createSeededChance } from '../../packages/engine/src/testing/chance.ts';
import { type Counts, createAckLog } from './ack-log.ts';
import { type Blow, planBlow, strike, wordsFor } from './blow.ts';
import { type Crowd, letClientsWork } from './clients.ts';
import { finishAll } from './finish.ts';
import { copyImage, ledgerBytes } from './image.ts';
import { createInspection, type Inspection, type Totals } from './inspection.ts';
import type { Place } from './place.ts';
import { type Problem, problem } from './problem.ts';
import {
  type End,
  killServer,
  type ServerProcess,
  sendSignal,
  startServer,
  untilListening,
} from './server-process.ts';

export type CampaignOptions = { place: Place; rounds: number; seed: number; items: number };

/** The longest wait for a first start of an item; there may be none, when all stands still. */
const START_LIMIT_MS = 10_000;

/** More than a server gives its running items when it is asked to end. */
const STOP_LIMIT_MS = 60_000;

/** A server may take this long to listen on a machine that has other things to do. */
const LISTEN_LIMIT_MS = 60_000;

/**
 * Works, kills, looks, round after round; then lets everything end in peace and looks once more.
 * Ends early when something is wrong: what is there then is the evidence.
 */
export async function runCampaign(
  options: CampaignOptions,
  say: (line: string) => void,
): Promise<Totals & Counts> {
  const { place, rounds, seed } = options;
  const crowd: Crowd = {
    acks: createAckLog(place.acks),
    ledgerFile: place.ledger,
    bodies: new Map(),
    steady: null,
  };
  const inspect = createInspection(place, crowd);
  const { totals } = inspect;
  let server = startServer(place);
  for (let round = 1; round <= rounds && totals.problems.length === 0; round++) {
    const roundSeed = seed * 1_000 + round;
    const blow = planBlow(createSeededChance(roundSeed));
    const shift = { crowd, round, seed: roundSeed * 10, items: Math.ceil(options.items / rounds) };
    const before = { ...crowd.acks.counts };
    const problems = await workAndStrike(server, blow, { place, shift, totals });
    const { ledger_bytes } = copyImage(place);
    // The next one recovers while the copy is looked at.
    server = startServer(place);
    inspect.watch(server);
    problems.push(...(await inspect.look({ bytes: ledger_bytes, may_repeat: totals.stops > 0 })));
    totals.problems.push(...problems);
    totals.rounds = round;
    say(lineOf({ round, rounds, blow, totals }, before, crowd.acks.counts));
  }
  if (totals.problems.length === 0)
    totals.problems.push(...(await endInPeace(server, { crowd, place, inspect, say })));
  else await stop(server);
  return { ...totals, ...crowd.acks.counts };
}

type Shift = { crowd: Crowd; round: number; seed: number; items: number };

async function workAndStrike(
  server: ServerProcess,
  blow: Blow,
  { place, shift, totals }: { place: Place; shift: Shift; totals: Totals },
): Promise<Problem[]> {
  const problems: Problem[] = [];
  const over = new AbortController();
  let working: Promise<Problem[]> = Promise.resolve([]);
  try {
    const url = await untilListening(server, place, LISTEN_LIMIT_MS);
    if (shift.round > 1) totals.listening_ms.push(Date.now() - server.started_at);
    working = letClientsWork({ ...shift, url }, over.signal);
    if (!blow.in_recovery) await Promise.race([untilSomethingStarts(place), server.ended]);
    await Promise.race([wait(blow.after_ms), server.ended]);
  } catch (error) {
    problems.push(problem('process', error instanceof Error ? error.message : String(error)));
  }
  const aftermath = await strike(server, blow, { place, onKill: () => over.abort() });
  totals.kills += aftermath.kills;
  totals.stops += blow.stop_ms > 0 ? 1 : 0;
  return [...problems, ...aftermath.problems, ...(await working)];
}

/** A kill shall find work under way, however busy the machine is. */
async function untilSomethingStarts(place: Place): Promise<void> {
  const before = ledgerBytes(place);
  const deadline = performance.now() + START_LIMIT_MS;
  while (ledgerBytes(place) === before && performance.now() < deadline) await wait(20);
}

async function endInPeace(
  server: ServerProcess,
  {
    crowd,
    place,
    inspect,
    say,
  }: { crowd: Crowd; place: Place; inspect: Inspection; say: (line: string) => void },
): Promise<Problem[]> {
  const from = performance.now();
  try {
    const url = await untilListening(server, place, LISTEN_LIMIT_MS);
    const problems = await finishAll(url, crowd);
    const end = await stop(server);
    if (end.code !== 0)
      problems.push(problem('process', `SIGTERM ended the server with ${end.signal ?? end.code}`));
    const { ledger_bytes } = copyImage(place);
    problems.push(...(await inspect.look({ bytes: ledger_bytes, may_repeat: inspect.totals.stops > 0 })));
    const seconds = ((performance.now() - from) / 1000).toFixed(1);
    say(`in peace  all ${inspect.totals.batches} batches resumed, retried and ended after ${seconds} s`);
    return problems;
  } catch (error) {
    return [problem('process', error instanceof Error ? error.message : String(error))];
  }
}

/** Asks it to end in order; one that does not is killed, which its end then tells. */
async function stop(server: ServerProcess): Promise<End> {
  sendSignal(server.pid, 'SIGTERM');
  const end = await Promise.race([server.ended, wait(STOP_LIMIT_MS, null, { ref: false })]);
  return end ?? killServer(server);
}

function lineOf(
  { round, rounds, blow, totals }: { round: number; rounds: number; blow: Blow; totals: Totals },
  before: Counts,
  after: Counts,
): string {
  const words = wordsFor(blow);
  return [
    `round ${String(round).padStart(String(rounds).length)}/${rounds}`,
    `killed after ${(blow.after_ms / 1000).toFixed(1)} s${words === '' ? '' : ` (${words})`}`,
    `${after.acknowledged - before.acknowledged} actions acknowledged, ${after.unanswered - before.unanswered} cut off`,
    `${totals.recorded} of ${totals.items} items recorded`,
    totals.problems.length === 0 ? 'ok' : `${totals.problems.length} PROBLEMS`,
  ].join('  ');
}
