import { adopt, checkAcks } from './check-acks.ts';
import { checkItems, type Memory } from './check-items.ts';
import { checkLedger, emptyLedger, type Start } from './check-ledger.ts';
import { checkOutputs } from './check-outputs.ts';
import type { Crowd } from './clients.ts';
import { type Image, readImage } from './image.ts';
import type { Place } from './place.ts';
import type { Problem } from './problem.ts';
import type { ServerProcess } from './server-process.ts';

/** What the table at the end says. */
export type Totals = {
  rounds: number;
  kills: number;
  stops: number;
  batches: number;
  items: number;
  recorded: number;
  cancelled: number;
  poisoned: number;
  starts: number;
  /** From the start of a server until it listened, for each that got so far. */
  listening_ms: number[];
  /** From the start of a server to its first start of an item. */
  recovery_ms: number[];
  problems: Problem[];
};

export type Inspection = ReturnType<typeof createInspection>;

/** Looks at the database as it lies there, and remembers it for the next look. */
export function createInspection(place: Place, crowd: Crowd) {
  const memory: Memory = new Map();
  const book = emptyLedger();
  const outputs = new Set<string>();
  const servers = new Map<number, number>();
  const totals: Totals = {
    rounds: 0,
    kills: 0,
    stops: 0,
    batches: 0,
    items: 0,
    recorded: 0,
    cancelled: 0,
    poisoned: 0,
    starts: 0,
    listening_ms: [],
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
      problems.push(...ledger.problems, ...checkOutputs(place, image, outputs));
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

function countItems(image: Image): Pick<Totals, 'batches' | 'items' | 'recorded' | 'cancelled' | 'poisoned'> {
  const batches = [...image.batches.values()];
  const items = batches.flatMap((batch) => batch.items);
  return {
    batches: batches.length,
    items: items.length,
    recorded: items.filter(({ status }) => status !== null).length,
    cancelled: batches.reduce((sum, { cancelled_items }) => sum + cancelled_items, 0),
    poisoned: items.filter(({ error_code }) => error_code === 'poison').length,
  };
}
