import type { Outcome } from '../../ports/leasing.ts';

/**
 * Of two outcomes of one item in a call the first counts. Whoever takes a list apart asks here before:
 * afterwards nobody knows which of them that was.
 */
export function firstOfEach(outcomes: readonly Outcome[]): readonly Outcome[] {
  // Nearly always they come in order, each of another item.
  const isOrdered = outcomes.every(
    ({ seq }, index) => index === 0 || seq > (outcomes[index - 1]?.seq ?? seq),
  );
  if (isOrdered) return outcomes;
  const seqs = new Set<number>();
  return outcomes.filter(({ seq }) => seqs.size < seqs.add(seq).size);
}
