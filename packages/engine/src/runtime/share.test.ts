import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Sharer, shareOf } from './share.ts';

const sharer = (demand: number, priority = 5): Sharer => ({ demand, priority });

const anySharer = fc.record({ priority: fc.integer({ min: 4, max: 6 }), demand: fc.nat(20) });

/** What each of them may use. */
function sharesOf(turns: Sharer[], total: number): number[] {
  return turns.map((turn) => shareOf(turn, turns, total));
}

describe('sharing slots between turns', () => {
  it('gives all of them to one that is alone', () => {
    expect(sharesOf([sharer(100)], 8)).toEqual([8]);
  });

  it('is even among equals', () => {
    expect(sharesOf([sharer(100), sharer(100)], 8)).toEqual([4, 4]);
    expect(sharesOf([sharer(100), sharer(100), sharer(100)], 6)).toEqual([2, 2, 2]);
  });

  it('gives what one cannot use to the others', () => {
    expect(sharesOf([sharer(1), sharer(100)], 8)[1]).toBe(7);
    expect(sharesOf([sharer(1), sharer(2), sharer(100), sharer(100)], 9).slice(2)).toEqual([3, 3]);
  });

  it('serves higher priorities first', () => {
    expect(sharesOf([sharer(100, 9), sharer(100, 2)], 8)).toEqual([8, 0]);
    expect(sharesOf([sharer(3, 9), sharer(100, 2)], 8)).toEqual([8, 5]);
  });

  it('works for a turn that is not among them yet', () => {
    expect(shareOf(sharer(100), [sharer(100)], 8)).toBe(4);
  });

  it('leaves no slot empty that somebody could use, and starves no equal', () => {
    fc.assert(
      fc.property(
        fc.array(anySharer, { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 1, max: 16 }),
        (turns, total) => {
          const shares = sharesOf(turns, total);
          const used = turns.map((turn, index) => Math.min(turn.demand, shares[index] ?? 0));
          const sum = (numbers: number[]) => numbers.reduce((all, one) => all + one, 0);
          expect(sum(used)).toBeGreaterThanOrEqual(Math.min(total, sum(turns.map((turn) => turn.demand))));
          const highest = Math.max(...turns.filter((turn) => turn.demand > 0).map((turn) => turn.priority));
          for (const [index, turn] of turns.entries()) {
            if (turn.priority === highest && turn.demand > 0) expect(shares[index]).toBeGreaterThan(0);
          }
        },
      ),
    );
  });
});
