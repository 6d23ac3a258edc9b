import { setTimeout as wait } from 'node:timers/promises';
import { createSeededChance } from '../../packages/engine/src/testing/chance.ts';
import { createAckLog } from './ack-log.ts';
import { type Blow, planBlow, strike, wordsFor } from './blow.ts';
import { adopt, checkAcks } from './check-acks.ts';
import { checkItems, type Memory } from './check-items.ts';
import { checkLedger, emptyLedger, type Start } from './check-ledger.ts';
import { type Crowd, letClientsWork } from './clients.ts';
import { finishAll } from './finish.ts';
import { copyImage, type Image, readImage } from './image.ts';
import type { Place } from './place.ts';
import { type Problem, problem } from './problem.ts';
import { type ServerProcess, startServer, untilListening } from './server-process.ts';

export type CampaignOptions = { place: Place; rounds: number; seed: number; items: number };

/** What the table at the end says. */
export type Totals = {
  rounds: number;
  kills: number;
  stops: number;
  acknowledged: number;
  unanswered: number;
  refused: number;
  batches: number;
  items: number;
  recorded: number;
  poisoned: number;
  starts: number;
  /** From the start of a server to its first start of an item, for each that got so far. */
  recovery_ms: number[];
  problems: Problem[];
};

/** A server may take this long to listen on a machine that has other things to do. */
const LISTEN_LIMIT_MS = 60_000;

/**
 * Works, kills, looks, round after round; then lets everything end in peace and looks once more.
 * Ends early when something is wrong: what is there then is the evidence.
 */
export async function runCampaign(options: CampaignOptions, say: (line: string) => void): Promise<Totals> {
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
  inspect.watch(server);
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
    say(lineOf(round, rounds, blow, { totals, before, after: crowd.acks.counts }));
  }
  if (totals.problems.length === 0)
    totals.problems.push(...(await endInPeace(server, { crowd, place, inspect, say })));
  else await stop(server);
  Object.assign(totals, pickCounts(crowd));
  return totals;
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
    working = letClientsWork({ ...shift, url }, over.signal);
    await Promise.race([wait(blow.after_ms), server.ended]);
  } catch (error) {
    problems.push(problem('process', error instanceof Error ? error.message : String(error)));
  }
  const aftermath = await strike(server, blow, place);
  over.abort();
  totals.kills += aftermath.kills;
  totals.stops += blow.stop_ms > 0 ? 1 : 0;
  return [...problems, ...aftermath.problems, ...(await working)];
}

type Inspection = ReturnType<typeof createInspection>;

/** Looks at the database as it lies there, and remembers it for the next look. */
function createInspection(place: Place, crowd: Crowd) {
  const memory: Memory = new Map();
  const book = emptyLedger();
  const servers = new Map<number, number>();
  const totals: Totals = {
    rounds: 0,
    kills: 0,
    stops: 0,
    acknowledged: 0,
    unanswered: 0,
    refused: 0,
    batches: 0,
    items: 0,
    recorded: 0,
    poisoned: 0,
    starts: 0,
    recovery_ms: [],
    problems: [],
  };

  return {
    totals,
    /** A server whose first start of an item is to be timed. */
    watch(server: ServerProcess): void {
      servers.set(server.pid, server.started_at);
    },
    async look({ bytes, may_repeat }: { bytes: number; may_repeat: boolean }): Promise<Problem[]> {
      const image = await readImage(place);
      const { acks } = crowd;
      const problems = [...checkAcks(acks, image), ...checkItems(acks, image, memory)];
      const ledger = checkLedger(place.ledger, book, { acks, image, bytes, may_repeat });
      problems.push(...ledger.problems);
      adopt(acks, image);
      time(ledger.fresh);
      totals.starts = book.starts.size;
      Object.assign(totals, countItems(image));
      return problems;
    },
  };

  function time(starts: readonly Start[]): void {
    for (const { server_pid, at } of starts) {
      const startedAt = servers.get(server_pid);
      if (startedAt === undefined) continue;
      servers.delete(server_pid);
      totals.recovery_ms.push(at - startedAt);
    }
  }
}

function countItems(image: Image): Pick<Totals, 'batches' | 'items' | 'recorded' | 'poisoned'> {
  const items = [...image.batches.values()].flatMap((batch) => batch.items);
  return {
    batches: image.batches.size,
    items: items.length,
    recorded: items.filter(({ status }) => status !== null).length,
    poisoned: items.filter(({ error_code }) => error_code === 'poison').length,
  };
}

function pickCounts({ acks: { counts } }: Crowd): Pick<Totals, 'acknowledged' | 'unanswered' | 'refused'> {
  const { acknowledged, unanswered, refused } = counts;
  return { acknowledged, unanswered, refused };
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
    say(
      `in peace: everything was resumed and retried, ${seconds} s until all ${inspect.totals.batches} batches had ended`,
    );
    return problems;
  } catch (error) {
    return [problem('process', error instanceof Error ? error.message : String(error))];
  }
}

async function stop(server: ServerProcess) {
  process.kill(server.pid, 'SIGTERM');
  return server.ended;
}

function lineOf(
  round: number,
  rounds: number,
  blow: Blow,
  {
    totals,
    before,
    after,
  }: {
    totals: Totals;
    before: { acknowledged: number; unanswered: number };
    after: { acknowledged: number; unanswered: number };
  },
): string {
  const words = wordsFor(blow);
  const acknowledged = after.acknowledged - before.acknowledged;
  const open = after.unanswered - before.unanswered;
  return [
    `round ${String(round).padStart(String(rounds).length)}/${rounds}`,
    `killed after ${(blow.after_ms / 1000).toFixed(1)} s${words === '' ? '' : ` (${words})`}`,
    `${acknowledged} actions acknowledged, ${open} cut off`,
    `${totals.recorded} of ${totals.items} items recorded`,
    totals.problems.length === 0 ? 'ok' : `${totals.problems.length} PROBLEMS`,
  ].join('  ');
}
