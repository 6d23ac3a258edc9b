/**
 * Kills a real server again and again while clients steer it, and compares what it acknowledged with
 * what it still knows: `docs/guides/survive-a-crash.md` tells how.
 *
 *   npm run torture                     100 rounds
 *   npm run torture -- --rounds 5       a short look
 *   npm run torture -- --seed 17        the same blows and wishes again; their moments differ a little
 */
import { randomInt } from 'node:crypto';
import { rmSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { runCampaign } from './torture/campaign.ts';
import { makePlace } from './torture/place.ts';
import { tableOf } from './torture/table.ts';

const MOST_SHOWN = 20;

const ITEMS_A_ROUND = 150;

// The servers die with us: they are killed when this process exits, by whatever way.
process.once('SIGINT', () => process.exit(130));
process.once('SIGTERM', () => process.exit(143));
process.exitCode = await main();

async function main(): Promise<number> {
  const options = readOptions();
  if (typeof options === 'string') {
    console.error(options);
    return 2;
  }
  const { rounds, seed, items } = options;
  const place = makePlace();
  console.log(`${rounds} rounds, about ${items} items, seed ${seed}, in ${place.folder}`);
  const from = performance.now();
  const totals = await runCampaign({ place, rounds, seed, items }, (line) => console.log(line));
  const { problems } = totals;
  console.log(`\n${tableOf(totals, { seed, seconds: (performance.now() - from) / 1000 })}\n`);
  if (problems.length === 0) {
    rmSync(place.folder, { recursive: true, maxRetries: 5, retryDelay: 100 });
    console.log('Nothing acknowledged was lost, nothing was recorded twice.');
    return 0;
  }
  for (const { kind, text } of problems.slice(0, MOST_SHOWN)) console.error(`${kind}: ${text}`);
  if (problems.length > MOST_SHOWN) console.error(`and ${problems.length - MOST_SHOWN} more`);
  console.error(
    `\nRound ${totals.rounds} of seed ${seed} broke a promise; all there was is kept in ${place.folder}`,
  );
  return 1;
}

function readOptions(): { rounds: number; seed: number; items: number } | string {
  try {
    const { values } = parseArgs({
      options: { rounds: { type: 'string' }, seed: { type: 'string' }, items: { type: 'string' } },
    });
    const rounds = numberOf('rounds', values.rounds ?? '100');
    const seed = numberOf('seed', values.seed ?? String(randomInt(1, 1_000_000)));
    return { rounds, seed, items: numberOf('items', values.items ?? String(rounds * ITEMS_A_ROUND)) };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function numberOf(name: string, text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text))
    throw new Error(`--${name} must be a whole number from 1 on, not "${text}"`);
  return Number(text);
}
