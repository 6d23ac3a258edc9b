import { expect, it } from 'vitest';
import { lastingPostgres } from '../src/testing/lasting-postgres.ts';
import { simulate } from '../src/testing/simulator.ts';
import { describePostgres } from '../src/testing/temporary-postgres.ts';

/** As many histories as there is time for; those on SQLite are many more. SIMULATOR_RUNS=100 looks longer. */
const LIMIT_MS = 8_000;

describePostgres('a hostile world on PostgreSQL', (postgres) => {
  const open = lastingPostgres(postgres);

  it('never breaks a promise, and comes to its end when it is left in peace', {
    timeout: 600_000,
  }, async () => {
    const { SIMULATOR_SEED, SIMULATOR_RUNS } = process.env;
    const first = Number(SIMULATOR_SEED ?? Date.now() % 1_000_000_000);
    const limit = performance.now() + LIMIT_MS;
    const goesOn = (run: number) =>
      SIMULATOR_RUNS === undefined ? run === 0 || performance.now() < limit : run < Number(SIMULATOR_RUNS);
    for (let run = 0; goesOn(run); run++) {
      const seed = first + run;
      const { failure, steps } = await simulate({ seed, steps: 60, open });
      // Perhaps it fails on SQLite, too, where it is sooner understood: node scripts/simulate.ts --seed … --steps 60
      expect(failure, `SIMULATOR_SEED=${seed} STEPS=${steps}`).toBeNull();
    }
  });
});
