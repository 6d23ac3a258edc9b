import { expect, it } from 'vitest';
import { createFakeClock } from '../testing/fake-clock.ts';
import { until } from '../testing/until.ts';
import { watchDrySpell } from './dry-spell.ts';

function watch() {
  const clock = createFakeClock();
  let calls = 0;
  const dry = watchDrySpell(clock, () => {
    calls += 1;
  });
  return { clock, dry, calls: () => calls };
}

it('asks again when the time has come', async () => {
  const { clock, dry, calls } = watch();
  dry.recorded(5, { items: [], next_ready_at: clock.now() + 30 });
  expect(dry.isDry).toBe(true);
  await until('it is told', () => calls() === 1);
  expect(dry.isDry).toBe(false);
});

it('looks again within a second, however long the wait: a limit may have been raised', async () => {
  const { clock, dry, calls } = watch();
  dry.recorded(5, { items: [], next_ready_at: clock.now() + 3_600_000 });
  await until('it is told', () => calls() === 1);
});

it('waits for nothing where the Store could not say when', () => {
  const { dry } = watch();
  dry.recorded(5, { items: [], next_ready_at: null });
  expect(dry).toMatchObject({ isDry: true, next_ready_at: null });
});

it('is over with what a record brings, and with one that asked for none', () => {
  const { clock, dry } = watch();
  for (const { more, items } of [
    { more: 5, items: [1] },
    { more: 0, items: [] },
  ]) {
    dry.recorded(5, { items: [], next_ready_at: clock.now() + 500 });
    expect(dry.isDry).toBe(true);
    dry.recorded(more, { items, next_ready_at: null });
    expect(dry.isDry).toBe(false);
  }
  dry.end();
});

it('may be over when there is hope, but not before a time that is known', () => {
  const { clock, dry } = watch();
  dry.recorded(5, { items: [], next_ready_at: clock.now() + 500 });
  dry.hope();
  expect(dry.isDry).toBe(true);
  clock.advance(500);
  dry.hope();
  expect(dry.isDry).toBe(false);
  dry.recorded(5, { items: [], next_ready_at: null });
  dry.hope();
  expect(dry.isDry).toBe(false);
  dry.end();
});

it('remembers when there is more through records that asked for none', () => {
  const { clock, dry } = watch();
  const due = clock.now() + 500;
  dry.recorded(5, { items: [], next_ready_at: due });
  dry.recorded(0, { items: [], next_ready_at: null });
  expect(dry.next_ready_at).toBe(due);
  dry.end();
});
