import { ERRORS, errorCode, fingerprint } from '@sheaf/protocol';
import { doomedBytesOf } from '../domain/doomed-bytes.ts';
import type { Clock } from '../ports/clock.ts';
import type { BlobRef, Files, RemovedBlob } from '../ports/files.ts';
import type { Outcome, RecordAnswer, RecordRequest } from '../ports/leasing.ts';
import type { Store } from '../ports/store.ts';
import { fateOf, PATIENCE_MS } from './naming.ts';

/**
 * The most outcomes one commit holds: past that a transaction only makes others wait. Measured with
 * items that do nothing: 2,000 are half as fast again as 500 on PostgreSQL, and a third on SQLite; 4,000
 * gain nothing more.
 */
export const MAX_OUTCOMES = 2_000;

/** The most text (results and logs, in UTF-16 units) of one turn in a commit: about 8 MB. */
export const MAX_TEXT = 4_000_000;

/** Between two tries to record what the Store cannot take just now. */
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 2_000;

/**
 * Commits under way at the same time: while one is written, the next is already on its way to the
 * Store, so that neither it nor the handlers ever wait for the other.
 */
const MAX_COMMITS = 2;

/**
 * Group commit: while transactions are on their way to the disk, the outcomes of all turns gather
 * for the next. A slow disk makes groups larger, never the queue longer: each turn has two requests
 * under way at most, and stops starting items when it has too much to say.
 */
export type Recorder = {
  /**
   * Answers after the commit. While the disk is full or the database is locked the outcomes are kept
   * and tried again: what has run once need not run twice. Rejects only with a storage problem that
   * does not pass, or after `giveUp`; nothing was recorded then.
   */
  record(request: RecordRequest): Promise<Recorded>;
  /** Waits no more for a Store that cannot take outcomes. */
  giveUp(): void;
};

export type Recorded = RecordAnswer & {
  /** What is recorded. Others had outputs whose bytes were removed before they could be named: their items run again. */
  outcomes: readonly Outcome[];
};

type Waiting = { request: RecordRequest; resolve(answer: Recorded): void; reject(error: unknown): void };

/** @param options.onStorageFull Makes room (and stops the work) so that what has run can still be kept. */
export function createRecorder(options: {
  store: Store;
  files: Files;
  clock: Clock;
  onStorageFull: () => Promise<void>;
}): Recorder {
  const { store, files, clock } = options;
  let waiting: Waiting[] = [];
  let commits = 0;
  let hasGivenUp = false;
  let wake: (() => void) | null = null;

  function commitNext(): void {
    while (waiting.length > 0 && commits < MAX_COMMITS) {
      commits += 1;
      void commitGroup(takeGroup()).finally(() => {
        commits -= 1;
        commitNext();
      });
    }
  }

  async function commitGroup(group: readonly Waiting[]): Promise<void> {
    try {
      const answers = await commit(group.map(({ request }) => request));
      for (const [index, { request, resolve, reject }] of group.entries()) {
        const answer = answers[index];
        if (answer === undefined) reject(new Error('The Store answered too few requests.'));
        else resolve({ ...answer, outcomes: request.outcomes });
      }
    } catch (error) {
      const doomed = doomedBytesOf(error);
      const sums = doomed === null ? [] : [...doomed.claimed, ...doomed.removed];
      const isHit = ({ request }: Waiting) => request.outcomes.some((outcome) => hasOutput(outcome, sums));
      const hit = group.filter(isHit);
      // Those that have to wait for a removal hold up nobody else.
      if (hit.length > 0) {
        for (const each of hit) void commitNamed(each);
        const others = group.filter((each) => !isHit(each));
        if (others.length > 0) await commitGroup(others);
        return;
      }
      for (const { reject } of group) reject(error);
    }
  }

  /** Equal bytes were being removed when outputs were to be named: what of them is there afterwards is named. */
  async function commitNamed({ request, resolve, reject }: Waiting): Promise<void> {
    const confirmed: RemovedBlob[] = [];
    let outcomes = request.outcomes;
    const until = performance.now() + PATIENCE_MS;
    for (;;) {
      try {
        const [answer] = await commit([{ ...request, outcomes }], confirmed);
        if (answer === undefined) throw new Error('The Store answered too few requests.');
        return resolve({ ...answer, outcomes });
      } catch (error) {
        const doomed = doomedBytesOf(error);
        if (doomed === null) return reject(error);
        const fate = await fateOf(files, doomed, !hasGivenUp && performance.now() < until);
        confirmed.push(...fate.confirmed);
        outcomes = outcomes.filter((outcome) => !hasOutput(outcome, fate.lost));
      }
    }
  }

  function takeGroup(): Waiting[] {
    let count = 0;
    const end = waiting.findIndex(({ request }, index) => {
      count += request.outcomes.length;
      return index > 0 && count > MAX_OUTCOMES;
    });
    const group = end < 0 ? waiting : waiting.slice(0, end);
    waiting = end < 0 ? [] : waiting.slice(end);
    return group;
  }

  async function commit(
    requests: RecordRequest[],
    confirmed: readonly RemovedBlob[] = [],
  ): Promise<RecordAnswer[]> {
    for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS)) {
      try {
        return await store.record(requests, clock.now(), { confirmed });
      } catch (error) {
        const code = errorCode(error);
        if (code === undefined) return commitApart(requests, confirmed, error);
        if (code === 'bytes_doomed' || !ERRORS[code].retryable || hasGivenUp) throw error;
        if (code === 'storage_full') await options.onStorageFull();
        await patience(waitMs);
      }
    }
  }

  async function patience(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    wake = resolve;
    if (hasGivenUp) resolve();
    await promise;
    clearTimeout(timer);
  }

  /** Something in the group cannot be written: one by one it is found, and becomes a failure of its own item. */
  async function commitApart(
    requests: RecordRequest[],
    confirmed: readonly RemovedBlob[],
    error: unknown,
  ): Promise<RecordAnswer[]> {
    const [first, ...others] = requests;
    if (first === undefined) return [];
    if (others.length > 0) {
      const answers: RecordAnswer[] = [];
      for (const request of requests) answers.push(...(await commit([request], confirmed)));
      return answers;
    }
    const { outcomes } = first;
    if (outcomes.length > 1) return [await commitEach(first, confirmed)];
    const [outcome] = outcomes;
    if (outcome === undefined || outcome.error?.code === 'bad_result') throw error;
    return store.record([{ ...first, outcomes: [asBadResult(outcome, error)] }], clock.now());
  }

  async function commitEach(
    request: RecordRequest,
    confirmed: readonly RemovedBlob[],
  ): Promise<RecordAnswer> {
    const answers: RecordAnswer[] = [];
    for (const outcome of request.outcomes) {
      answers.push(...(await commit([{ ...request, outcomes: [outcome], more: 0 }], confirmed)));
    }
    const last = answers.at(-1);
    if (last === undefined) throw new Error('The Store answered too few requests.');
    const sum = (field: 'accepted' | 'refused') =>
      answers.reduce((total, answer) => total + answer[field], 0);
    return { ...last, accepted: sum('accepted'), refused: sum('refused') };
  }

  return {
    record(request) {
      const { promise, resolve, reject } = Promise.withResolvers<Recorded>();
      waiting.push({ request, resolve, reject });
      commitNext();
      return promise;
    },
    giveUp() {
      hasGivenUp = true;
      wake?.();
    },
  };
}

function asBadResult(outcome: Outcome, error: unknown): Outcome {
  const message =
    `The result could not be stored: ${error instanceof Error ? error.message : String(error)}`.slice(0, 500);
  const failure = { kind: 'permanent' as const, code: 'bad_result', message };
  return {
    ...outcome,
    status: 'failed',
    result: null,
    error: failure,
    cause: fingerprint(failure),
    retry: null,
    metrics: null,
    outputs: null,
    log: null,
  };
}

function hasOutput({ outputs }: Outcome, blobs: readonly BlobRef[]): boolean {
  return outputs?.some(({ sha256 }) => blobs.some((blob) => blob.sha256 === sha256)) ?? false;
}
