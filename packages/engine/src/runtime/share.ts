/** What the sharing of slots looks at: who is how important, and how many slots each could use. */
export type Sharer = { readonly priority: number; readonly demand: number };

/**
 * How many of `total` slots a turn may use. Higher priorities come first and take what they need;
 * equals share evenly, and what one of them cannot use goes to the others.
 */
export function shareOf(turn: Sharer, turns: Iterable<Sharer>, total: number): number {
  let left = total;
  const equals: number[] = [];
  for (const other of turns) {
    if (other === turn || other.priority < turn.priority) continue;
    if (other.priority > turn.priority) left -= other.demand;
    else equals.push(other.demand);
  }
  if (left <= 0) return 0;
  equals.sort((a, b) => a - b);
  for (const [index, demand] of equals.entries()) {
    // Rounded up: a slot too many is only ever asked for, one too few would stay empty.
    const even = Math.ceil(left / (equals.length - index + 1));
    if (demand >= even) return even;
    left -= demand;
  }
  return left;
}
