import { isFinal } from '../../packages/protocol/src/index.ts';
import type { AckLog } from './ack-log.ts';
import type { BatchImage, Image, ItemImage } from './image.ts';
import { ledger } from './ledger-processor.ts';
import { type Problem, problem } from './problem.ts';

/** What the last look found, to tell what has become of it. */
export type Memory = Map<string, ItemImage[]>;

/** Outcomes stay, numbers add up, and each result was accepted once. */
export function checkItems(acks: AckLog, image: Image, memory: Memory): Problem[] {
  const problems = image.broken.map((text) => problem(/ I1 |SQLite/.test(text) ? 'drift' : 'moved', text));
  for (const batch of image.batches.values()) {
    const wasRetried = acks.batches.get(batch.id)?.was_retried ?? true;
    problems.push(...checkOutcomes(batch, memory.get(batch.id) ?? [], wasRetried), ...checkNumbers(batch));
    memory.set(batch.id, batch.items);
  }
  return problems;
}

function checkOutcomes(batch: BatchImage, before: readonly ItemImage[], wasRetried: boolean): Problem[] {
  const problems: Problem[] = [];
  for (const [index, was] of before.entries()) {
    const is = batch.items[index];
    const id = `${batch.id}/${was.seq}`;
    if (is === undefined || is.seq !== was.seq) problems.push(problem('lost', `the item ${id} is gone`));
    else if (was.status === 'completed' && (is.status !== 'completed' || is.attempt !== was.attempt))
      problems.push(
        problem('moved', `${id} was completed by attempt ${was.attempt}, is ${is.status} at ${is.attempt}`),
      );
    else if (was.status === 'completed' && is.result !== was.result)
      problems.push(problem('twice', `the result of ${id} was ${was.result}, is ${is.result}`));
    else if (was.status !== null && is.status !== was.status && !wasRetried)
      problems.push(
        problem('moved', `${id} was ${was.status}, is ${is.status ?? 'open'}, and nobody retried it`),
      );
    else if (is.attempt < was.attempt)
      problems.push(problem('moved', `${id} had ${was.attempt} attempts, has ${is.attempt}`));
  }
  return problems;
}

/** A recount by our own SQL, beside the engine's. */
function checkNumbers(batch: BatchImage): Problem[] {
  const problems: Problem[] = [];
  const { completed_items, failed_items, skipped_items, cancelled_items, total_items } = batch;
  const count = (status: ItemImage['status']) => batch.items.filter((item) => item.status === status).length;
  const compare = (what: string, said: number, found: number) => {
    if (said !== found)
      problems.push(problem('drift', `${batch.id}: ${what} says ${said}, a recount ${found}`));
  };
  compare('total_items', total_items, batch.items.length);
  compare('completed_items', completed_items, count('completed'));
  compare('failed_items', failed_items, count('failed'));
  compare('skipped_items', skipped_items, count('skipped'));
  if (isFinal(batch.status)) {
    const ended = completed_items + failed_items + skipped_items + cancelled_items;
    compare(`${batch.status}, but the sum of ended items`, ended, total_items);
  }
  if (batch.processor === ledger.name && batch.accepted !== completed_items) {
    const text = `${batch.id}: ${batch.accepted} results were accepted for ${completed_items} completed items`;
    problems.push(problem(batch.accepted > completed_items ? 'twice' : 'lost', text));
  }
  return problems;
}
