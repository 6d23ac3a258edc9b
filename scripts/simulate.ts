/**
 * Plays hostile histories against the real Store (see packages/engine/src/testing/simulator.ts) and
 * ends with one plain line: `N passed, N failed`. A history that fails is shown as short as it could
 * be made, with the line that plays it again.
 *
 *   node scripts/simulate.ts                               1,000 histories from a new seed
 *   node scripts/simulate.ts --runs 20000 --seed 1         many, from a known one
 *   node scripts/simulate.ts --runs 1 --seed 17 --steps 200  one again
 */
import { parseArgs } from 'node:util';
import { simulate } from '../packages/engine/src/testing/simulator.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '1000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
    steps: { type: 'string', default: '200' },
  },
});
const [runs, first, steps] = [count('runs'), count('seed'), count('steps')];

console.log(`${runs} histories of ${steps} steps, SEED=${first} to ${first + runs - 1}`);
let failed = 0;
for (let seed = first; seed < first + runs; seed++) {
  const { failure } = await simulate({ seed, steps });
  if (failure === null) continue;
  failed += 1;
  console.log(`SEED=${seed} STEPS=${steps}  ${failure.problem}`);
  console.log(`  after: ${failure.trail.join(', ') || 'nothing, in the peaceful end'}`);
  console.log(`  again: node scripts/simulate.ts --runs 1 --seed ${seed} --steps ${steps}`);
}
process.exitCode = failed > 0 ? 1 : 0;
console.log(`${runs - failed} passed, ${failed} failed`);

function count(name: keyof typeof values): number {
  const number = Number(values[name]);
  if (Number.isSafeInteger(number) && number >= 0) return number;
  console.error(`--${name} takes a whole number, not ${values[name]}.`);
  process.exit(2);
}
