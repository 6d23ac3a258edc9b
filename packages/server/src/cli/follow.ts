import { type Batch, type BatchStatus, errorCode, isFinal, type Wire } from '@sheaf/protocol';
import type { Connection } from './connect.ts';
import { exitCodeOf, listenForEnd } from './interrupt.ts';
import { plural } from './view/format.ts';
import type { WorkView } from './view/work-view.ts';
import { type Snapshot, watch } from './watch.ts';

/** How a watch ended: with the batch, or because a signal asked for it. */
export type Followed = { snapshot: Snapshot | null; ended_by: NodeJS.Signals | null };

/**
 * Shows a batch until it is over, or until ^C. Where the work is done in this process, the first ^C
 * lets running items finish and the second stops at once; where a server does it, ^C only stops the
 * watching.
 *
 * @param options.beside What is done meanwhile (an upload); its failure ends all.
 */
export async function follow(
  connection: Connection,
  batchId: string,
  options: {
    view: WorkView;
    until_still: boolean;
    gap_ms?: number;
    beside?: (signal: AbortSignal) => Promise<void>;
  },
): Promise<Followed> {
  const end = new AbortController();
  const isOurs = connection.own !== null;
  let snapshot: Snapshot | null = null;
  const interrupts = listenForEnd({
    onFirst() {
      if (!isOurs) return end.abort();
      options.view.log(drainText(snapshot));
      void connection.close().finally(() => end.abort());
    },
    onSecond() {
      if (isOurs) void connection.close({ drain_ms: 0 }).finally(() => end.abort());
    },
  });
  const watched = async () => {
    const { until_still, gap_ms = 250 } = options;
    for await (const seen of watch(connection.client, batchId, { signal: end.signal, gap_ms, until_still })) {
      snapshot = seen;
      options.view.show(seen);
    }
  };
  try {
    const broken = connection.own?.engine.failed ?? new Promise<never>(() => undefined);
    const work = Promise.all([watched(), options.beside?.(AbortSignal.any([end.signal, interrupts.first]))]);
    await Promise.race([work, broken]);
  } catch (error) {
    // A call that ^C cut short is no failure of its own.
    const isCut = interrupts.signal !== null && errorCode(error) !== 'storage_failed';
    if (!isCut) throw error;
    if (isOurs) await connection.close();
  } finally {
    end.abort();
    interrupts.stop();
  }
  return { snapshot, ended_by: interrupts.signal };
}

function drainText(snapshot: Snapshot | null): string {
  const running = snapshot?.batch.running_items ?? 0;
  const finishing = running > 0 ? `Finishing ${plural(running, 'running item')}` : 'Stopping';
  return `${finishing}… ^C again stops at once. The batch is kept.`;
}

/** The exit code a batch stands for; one that waits for a person is a conflict with what was asked. */
export function exitCode(batch: Pick<Wire<Batch>, 'status'>): number {
  return isFinal(batch.status) ? FINAL_EXITS[batch.status as keyof typeof FINAL_EXITS] : 9;
}

const FINAL_EXITS = {
  completed: 0,
  partially_completed: 3,
  failed: 4,
  cancelled: 5,
} as const satisfies Partial<Record<BatchStatus, number>>;

/** The exit code of a command that followed a batch. */
export function exitCodeAfter({ snapshot, ended_by }: Followed): number {
  if (ended_by !== null) return exitCodeOf(ended_by);
  return snapshot === null ? 1 : exitCode(snapshot.batch);
}
