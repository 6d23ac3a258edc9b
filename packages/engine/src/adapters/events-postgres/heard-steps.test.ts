import { expect, test } from 'vitest';
import { createHeardSteps } from './heard-steps.ts';

test('knows the last step of an item for half a minute', () => {
  const { heard, clock } = listen();
  heard.note(step(1, 'decoding'));
  heard.note(step(1, 'developing'));
  expect(heard.of('bat_1/1')).toMatchObject({ step: 'developing', percent: 40 });
  expect(heard.of('bat_1/2')).toBeNull();
  clock.time = 30_000;
  expect(heard.of('bat_1/1')).not.toBeNull();
  clock.time = 30_001;
  expect(heard.of('bat_1/1')).toBeNull();
});

test('forgets the item unheard of for longest when there are too many', () => {
  const { heard } = listen();
  for (let seq = 1; seq < 10_000; seq++) heard.note(step(seq, 'begun'));
  heard.note(step(1, 'done'));
  for (const seq of [10_000, 10_001]) heard.note(step(seq, 'begun'));
  const known = ['bat_1/1', 'bat_1/2', 'bat_1/3', 'bat_1/10001'].map((id) => heard.of(id)?.step ?? null);
  expect(known).toEqual(['done', null, 'begun', 'begun']);
});

function listen() {
  const clock = { time: 0, now: () => clock.time };
  return { heard: createHeardSteps(clock), clock };
}

function step(seq: number, name: string) {
  return { type: 'item_progress' as const, batch_id: 'bat_1', seq, step: name, percent: 40 };
}
