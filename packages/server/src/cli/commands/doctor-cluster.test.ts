import { expect, it } from 'vitest';
import { clusterChecks } from './doctor-cluster.ts';

const well = { database: 'postgres', version: '15.18', fsync: 'on', synchronous_commit: 'on', now_ms: 1_000 };
const verdicts = (about: Record<string, string | number>, now = 1_200) =>
  clusterChecks(about, now).map(({ ok }) => ok);

it('finds nothing wrong with a database that keeps what it confirms', () => {
  expect(verdicts(well)).toEqual([true, true]);
});

it.each([{ fsync: 'off' }, { synchronous_commit: 'off' }, { version: '12.4' }])('warns of %o', (change) => {
  const [database] = clusterChecks({ ...well, ...change }, 1_200);
  expect(database?.ok).toBe(false);
  expect(database?.fix).toBeTruthy();
});

it('tells how far the clocks are apart, and which one is behind', () => {
  const [, time] = clusterChecks(well, 61_000);
  expect(time).toMatchObject({ ok: null, text: "the database's clock is 60000 ms behind this machine's" });
});
