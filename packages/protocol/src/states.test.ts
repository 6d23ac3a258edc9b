import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ACTIVE_STATUSES,
  allowedActions,
  BATCH_ACTIONS,
  BATCH_MOVES,
  BATCH_STATUSES,
  type BatchStatus,
  FINAL_STATUSES,
  finalStatus,
  ITEM_MOVES,
  ITEM_STATUSES,
  isActive,
  isFinal,
  OUTCOME_STATUSES,
  SETTLING_STATUSES,
} from './states.ts';

describe('the states of a batch', () => {
  it('name every state once in the table of moves, and lead only to known ones', () => {
    expect(Object.keys(BATCH_MOVES).sort()).toEqual([...BATCH_STATUSES].sort());
    for (const targets of Object.values(BATCH_MOVES)) {
      for (const target of targets) expect(BATCH_STATUSES).toContain(target);
    }
  });

  it('reach every state from a draft', () => {
    const reached = new Set<BatchStatus>(['draft']);
    for (const status of reached) for (const next of BATCH_MOVES[status]) reached.add(next);
    expect([...reached].sort()).toEqual([...BATCH_STATUSES].sort());
  });

  it('leave a final state only towards work', () => {
    for (const status of FINAL_STATUSES) {
      for (const next of BATCH_MOVES[status]) expect(['queued', 'awaiting_approval']).toContain(next);
    }
  });

  it('tell final, active and standing states apart without overlap', () => {
    for (const status of BATCH_STATUSES) expect(isFinal(status) && isActive(status)).toBe(false);
    expect(BATCH_STATUSES.filter(isFinal)).toEqual([...FINAL_STATUSES]);
    expect(BATCH_STATUSES.filter(isActive)).toEqual([...ACTIVE_STATUSES]);
  });

  it('let every settling state move to each state that counting can lead to', () => {
    const ends = ['completed', 'partially_completed', 'failed', 'cancelled'] as const;
    for (const status of SETTLING_STATUSES)
      expect(BATCH_MOVES[status]).toEqual(expect.arrayContaining([...ends]));
  });
});

describe('allowed actions', () => {
  it('are exactly those whose rule names the state', () => {
    for (const status of BATCH_STATUSES) {
      for (const [action, rule] of Object.entries(BATCH_ACTIONS)) {
        const from: readonly BatchStatus[] = rule.from;
        expect(allowedActions(status).some((allowed) => allowed === action)).toBe(from.includes(status));
      }
    }
  });

  it('never name a state both as legal and as already in effect', () => {
    for (const { from, already } of Object.values(BATCH_ACTIONS)) {
      const both = from.filter((status) => (already as readonly BatchStatus[]).includes(status));
      expect(both).toEqual([]);
    }
  });

  it('offer a way on or out in every state', () => {
    for (const status of BATCH_STATUSES) {
      const ways = allowedActions(status).filter((action) => action === 'cancel' || action === 'delete');
      expect(ways.length).toBeGreaterThan(0);
    }
  });

  it('never offer to cancel what is final, nor to delete what may run', () => {
    for (const status of FINAL_STATUSES) expect(allowedActions(status)).not.toContain('cancel');
    for (const status of ACTIVE_STATUSES) expect(allowedActions(status)).not.toContain('delete');
    expect(allowedActions('paused')).not.toContain('delete');
  });

  it('are moves that the table knows', () => {
    const target = { pause: 'paused', cancel: 'cancelled' } as const;
    for (const [action, to] of Object.entries(target) as [keyof typeof target, BatchStatus][]) {
      for (const from of BATCH_ACTIONS[action].from) expect(BATCH_MOVES[from]).toContain(to);
    }
    for (const from of BATCH_ACTIONS.start.from) expect(BATCH_MOVES[from]).toContain('queued');
    for (const from of BATCH_ACTIONS.approve.from) expect(BATCH_MOVES[from]).toContain('queued');
  });
});

describe('the final state of a batch', () => {
  const counts = (completed: number, failed: number, skipped: number, cancelled: number) => ({
    completed_items: completed,
    failed_items: failed,
    skipped_items: skipped,
    total_items: completed + failed + skipped + cancelled,
  });

  it.each([
    [counts(0, 0, 0, 0), 'completed'],
    [counts(3, 0, 0, 0), 'completed'],
    [counts(0, 0, 3, 0), 'completed'],
    [counts(1, 0, 2, 0), 'completed'],
    [counts(1, 1, 0, 0), 'partially_completed'],
    [counts(1, 0, 0, 1), 'partially_completed'],
    [counts(0, 1, 0, 0), 'failed'],
    [counts(0, 1, 1, 1), 'failed'],
    [counts(0, 0, 0, 2), 'cancelled'],
    [counts(0, 0, 1, 1), 'cancelled'],
  ])('for %j is %s', (given, expected) => {
    expect(finalStatus(given)).toBe(expected);
  });

  it('is a final one whatever the counters are', () => {
    const few = fc.nat(5);
    fc.assert(
      fc.property(few, few, few, few, (completed, failed, skipped, cancelled) => {
        expect(isFinal(finalStatus(counts(completed, failed, skipped, cancelled)))).toBe(true);
      }),
    );
  });
});

describe('the states of an item', () => {
  it('name every state once in the table of moves, and lead only to known ones', () => {
    expect(Object.keys(ITEM_MOVES).sort()).toEqual([...ITEM_STATUSES].sort());
    for (const targets of Object.values(ITEM_MOVES)) {
      for (const target of targets) expect(ITEM_STATUSES).toContain(target);
    }
  });

  it('never lead out of completed, and out of other outcomes only back to pending', () => {
    expect(ITEM_MOVES.completed).toEqual([]);
    for (const status of OUTCOME_STATUSES) {
      for (const next of ITEM_MOVES[status]) expect(next).toBe('pending');
    }
  });
});
