/**
 * Lists of what is at work: few at a time, coming and going by the million.
 *
 * A Map or a Set that is written for every item would keep its outgrown tables, and with them all
 * that stood in these, until the next full garbage collection.
 */
export type Placed = { place: number };

export function enter<T extends Placed>(list: T[], member: T): void {
  member.place = list.length;
  list.push(member);
}

/** The last one takes the place of the one that leaves. */
export function leave<T extends Placed>(list: T[], member: T): void {
  const last = list.pop();
  if (last === undefined || last === member) return;
  last.place = member.place;
  list[member.place] = last;
}
