import { describe, expect, it } from 'vitest';
import { simulate } from '../src/testing/simulator.ts';

describe('a hostile world', () => {
  it('never breaks a promise, and comes to its end when it is left in peace', {
    timeout: 120_000,
  }, async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const { failure, steps } = await simulate({ seed, steps: 200 });
      // The same history by hand: node scripts/simulate.ts --seed … --steps … --runs 1
      expect(failure, `SEED=${seed} STEPS=${steps}`).toBeNull();
    }
  });
});
