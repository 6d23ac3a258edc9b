import { closeSync, openSync, readSync } from 'node:fs';
import { isActive } from '../../packages/protocol/src/index.ts';
import type { AckLog, Known } from './ack-log.ts';
import type { BatchImage, Image } from './image.ts';
import { ledger } from './ledger-processor.ts';
import { type Problem, problem } from './problem.ts';

/** One start of an item, as its process wrote it down. */
export type Start = {
  batch_id: string;
  seq: number;
  attempt: number;
  start: string;
  server_pid: number;
  at: number;
};

/** All starts so far, and how far the file was read. */
export type Ledger = {
  bytes: number;
  starts: Map<string, Start>;
  /** Items with an outcome at the last look: they must not start again unless retried. */
  completed: Set<string>;
  /** Starts by item and attempt. */
  tries: Map<string, number>;
};

export function emptyLedger(): Ledger {
  return { bytes: 0, starts: new Map(), completed: new Set(), tries: new Map() };
}

/**
 * Reads what was written since the last look, and compares it with the database: no result without a
 * start, no start after a result, and no second start of one attempt without a reason.
 *
 * @param options.bytes The size of the file when the database was copied.
 * @param options.may_repeat Whether a server was stopped for long: it takes back what it holds, unburned.
 */
export function checkLedger(
  path: string,
  book: Ledger,
  { acks, image, bytes, may_repeat }: { acks: AckLog; image: Image; bytes: number; may_repeat: boolean },
): { problems: Problem[]; fresh: Start[] } {
  const fresh = readOn(path, book, bytes);
  const problems: Problem[] = [];
  for (const start of fresh) {
    const item = `${start.batch_id}/${start.seq}`;
    const attempt = `${item}/${start.attempt}`;
    const known = acks.batches.get(start.batch_id);
    if (book.completed.has(item))
      problems.push(problem('ledger', `${attempt} started after ${item} was completed`));
    if (!image.batches.has(start.batch_id))
      problems.push(problem('lost', `${attempt} ran, and its batch is gone`));
    const tries = (book.tries.get(attempt) ?? 0) + 1;
    book.tries.set(attempt, tries);
    if (tries > 1 && !may_repeat && known !== undefined && !known.was_broken_off)
      problems.push(problem('ledger', `${attempt} started ${tries} times, and nobody had broken it off`));
    if (stoodStill(known, image.batches.get(start.batch_id)))
      problems.push(
        problem('ledger', `${attempt} started in a batch that was ${known?.found?.status} all the time`),
      );
    book.starts.set(start.start, start);
  }
  for (const batch of image.batches.values()) {
    if (batch.processor === ledger.name) problems.push(...checkBatch(batch, book));
  }
  return { problems, fresh };
}

/** Whether nobody touched a batch since the last look, which found it where nothing may start. */
function stoodStill(known: Known | undefined, batch: BatchImage | undefined): boolean {
  const found = known?.found ?? null;
  return found !== null && !isActive(found.status) && found.event_seq === batch?.event_seq;
}

function checkBatch(batch: BatchImage, book: Ledger): Problem[] {
  const problems: Problem[] = [];
  for (const { seq, status, attempt, result, error_code } of batch.items) {
    const item = `${batch.id}/${seq}`;
    if (status === 'completed') {
      book.completed.add(item);
      const named = (JSON.parse(result ?? 'null') as { start?: string } | null)?.start ?? '';
      const start = book.starts.get(named);
      if (start?.batch_id !== batch.id || start.seq !== seq || start.attempt !== attempt)
        problems.push(
          problem('ledger', `${item} is completed by a start that is not in the ledger: ${result}`),
        );
    } else if (status === 'failed' && isOurs(error_code) && !book.tries.has(`${item}/${attempt}`)) {
      problems.push(problem('ledger', `${item} failed in attempt ${attempt}, which never started`));
    }
  }
  for (const { seq, attempt, error_code } of batch.attempts) {
    if (isOurs(error_code) && !book.tries.has(`${batch.id}/${seq}/${attempt}`))
      problems.push(
        problem('ledger', `${batch.id}/${seq} has a failed attempt ${attempt}, which never started`),
      );
  }
  return problems;
}

/** Failures that the processor itself brings about, after its line. */
function isOurs(code: string | null): boolean {
  return code === 'torture_retryable' || code === 'torture_permanent';
}

function readOn(path: string, book: Ledger, bytes: number): Start[] {
  const buffer = Buffer.alloc(bytes - book.bytes);
  if (buffer.length === 0) return [];
  const file = openSync(path, 'r');
  readSync(file, buffer, 0, buffer.length, book.bytes);
  closeSync(file);
  book.bytes = bytes;
  return buffer.toString('utf8').trimEnd().split('\n').map(parse);
}

function parse(line: string): Start {
  const [item = '', start = '', pid, at] = line.split(' ');
  const [batchId = '', seq, attempt] = item.split('/');
  return {
    batch_id: batchId,
    seq: Number(seq),
    attempt: Number(attempt),
    start,
    server_pid: Number(pid),
    at: Number(at),
  };
}
