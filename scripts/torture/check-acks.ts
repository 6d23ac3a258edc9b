import { type AckLog, type Call, type Handed, stateOf } from './ack-log.ts';
import { checkMoves } from './check-moves.ts';
import type { BatchImage, Image, ItemImage } from './image.ts';
import { type Problem, problem } from './problem.ts';

/**
 * Compares what was acknowledged with what the database has after the kill. What it has beyond that
 * must come from a call that was never answered, or be a move the system makes by itself.
 */
export function checkAcks(acks: AckLog, image: Image): Problem[] {
  const problems: Problem[] = [];
  for (const known of acks.batches.values()) {
    const batch = image.batches.get(known.id);
    if (batch === undefined) problems.push(problem('lost', `the acknowledged batch ${known.id} is gone`));
    else problems.push(...checkMoves(known, batch), ...checkHanded(known.items, known.open, batch));
  }
  const born = new Map<string, string>();
  for (const batch of image.batches.values()) {
    const { name, id } = batch;
    const twin = born.get(name);
    if (twin !== undefined) problems.push(problem('twice', `one call made both ${twin} and ${id}`));
    born.set(name, id);
    const call = acks.unborn.get(name);
    if (acks.batches.has(id)) continue;
    if (call === undefined) problems.push(problem('answer', `nobody asked for ${id}`));
    else problems.push(...checkHanded([], [call], batch));
  }
  return problems;
}

/** From here on the database's word counts as given: the calls left open have come true by now, or never will. */
export function adopt(acks: AckLog, image: Image): void {
  for (const known of acks.batches.values()) {
    const batch = image.batches.get(known.id);
    if (batch === undefined) continue;
    known.items = handedIn(batch.items);
    known.found = stateOf(batch);
    known.latest = { ...known.latest, ...known.found };
    known.heard = [];
    known.open = [];
    known.was_retried = false;
  }
}

/** Acknowledged items are there, in their places; those of an open call all are, or none. */
function checkHanded(acknowledged: readonly Handed[], open: readonly Call[], batch: BatchImage): Problem[] {
  const found = new Map(handedIn(batch.items).map((handed) => [handed.tag, handed]));
  const problems: Problem[] = [];
  for (const { tag, first_seq, count } of acknowledged) {
    const there = found.get(tag);
    found.delete(tag);
    if (there?.first_seq === first_seq && there.count === count) continue;
    const has = there === undefined ? 'none' : `${there.count} from ${there.first_seq} on`;
    problems.push(
      problem(
        'lost',
        `${batch.id}: of ${count} acknowledged items from ${first_seq} on (${tag}) there are ${has}`,
      ),
    );
  }
  for (const { tag, count } of found.values()) {
    const call = open.find((candidate) => candidate.tag === tag);
    if (call?.count !== count)
      problems.push(
        problem('lost', `${batch.id}: ${count} items of ${tag}, which brought ${call?.count ?? 'none'}`),
      );
  }
  return problems;
}

/** Neighbours whose names carry the same tag, in the right order: `c17-0`, `c17-1` … */
function handedIn(items: readonly ItemImage[]): Handed[] {
  const all: Handed[] = [];
  for (const { seq, name } of items) {
    const [tag = '', index] = name.split('-');
    const last = all.at(-1);
    if (last?.tag === tag && Number(index) === last.count && seq === last.first_seq + last.count)
      last.count += 1;
    else all.push({ tag, first_seq: seq, count: 1 });
  }
  return all;
}
