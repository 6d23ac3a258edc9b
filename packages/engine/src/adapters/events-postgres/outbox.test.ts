import type { SheafEvent } from '@sheaf/protocol';
import { expect, test } from 'vitest';
import { bytesOf, type Message, readMessage, writeMessage } from './message.ts';
import { createOutbox } from './outbox.ts';

/** What PostgreSQL takes in one NOTIFY. */
const LIMIT = 8_000;

test('says of each batch once what is new: the first event, whether it moved, which items ended, what they are at', () => {
  const outbox = createOutbox('me');
  outbox.add('default', stored('bat_1', 7));
  outbox.add('default', stored('bat_1', 6));
  outbox.add('default', stored('bat_1', 8));
  outbox.add('other', progress('bat_2'));
  outbox.add('other', ended('bat_2', [3, 5]));
  outbox.add('other', step('bat_3', 1, 'decoding'));
  outbox.add('other', step('bat_3', 1, 'developing'));
  outbox.add('default', step('bat_1', 1, 'resizing'));
  const said = readMessage(writeMessage(outbox.next()));
  expect(said).toEqual({
    boot: 'me',
    lost: [],
    spaces: {
      default: [{ batch_id: 'bat_1', first: 6, progress: false, ended: [] }],
      other: [{ batch_id: 'bat_2', first: 0, progress: true, ended: [3, 5] }],
    },
    steps: [
      { space: 'other', event: step('bat_3', 1, 'developing') },
      { space: 'default', event: step('bat_1', 1, 'resizing') },
    ],
  });
  expect(outbox.isEmpty()).toBe(true);
});

test('never says more at once than PostgreSQL takes, and loses nothing by that', () => {
  const outbox = createOutbox('boot'.repeat(9));
  for (let i = 0; i < 400; i++) {
    const space = `a space with a name, ${i % 7}`;
    outbox.add(space, stored(id(i), 1_000_000));
    outbox.add(
      space,
      ended(
        id(i),
        Array.from({ length: 1 + (i % 150) }, (_, n) => 9_000_000 + n),
      ),
    );
  }
  const messages = empty(outbox.next, outbox.isEmpty);
  expect(Math.max(...messages.map((message) => bytesOf(writeMessage(message))))).toBeLessThan(LIMIT);
  const told = messages.flatMap(({ spaces }) => Object.values(spaces).flat());
  expect(told.map(({ batch_id }) => batch_id).toSorted()).toEqual(
    Array.from({ length: 400 }, (_, i) => id(i)).toSorted(),
  );
  expect(Math.max(...told.map((news) => news.ended.length))).toBe(100);
});

test('tells steps in the room that ids leave, and drops the others', () => {
  const [plain, full] = [createOutbox('me'), createOutbox('me')];
  const wordy = '"\u0001😀'.repeat(100);
  for (const outbox of [plain, full]) {
    for (let i = 0; i < 250; i++) outbox.add('default', stored(id(i), 1));
  }
  for (let seq = 1; seq <= 10_000; seq++) full.add('default', step(id(0), seq, wordy));
  const messages = empty(full.next, full.isEmpty);
  expect(messages.map(({ spaces }) => spaces)).toEqual(
    empty(plain.next, plain.isEmpty).map(({ spaces }) => spaces),
  );
  expect(messages.flatMap(({ steps }) => steps)).toEqual([]);

  for (let seq = 1; seq <= 10_000; seq++) full.add('default', step(id(0), seq, wordy));
  full.add('default', stored(id(1), 1));
  const [last, ...more] = empty(full.next, full.isEmpty);
  const { spaces, steps } = readMessage(writeMessage(last ?? full.next())) ?? full.next();
  expect(more).toEqual([]);
  expect(spaces).toMatchObject({ default: [{ batch_id: id(1) }] });
  expect(steps.length).toBeGreaterThan(10);
  expect(new Set(steps.map(({ event }) => event.step.length))).toEqual(new Set([80]));
  const sizes = [...messages, last ?? full.next()].map((message) => bytesOf(writeMessage(message)));
  expect(Math.max(...sizes)).toBeLessThan(LIMIT);
});

test('tells the last step of an item also when more report than one message holds', () => {
  const outbox = createOutbox('me');
  for (let seq = 1; seq <= 10_000; seq++) outbox.add('default', step(id(0), seq, 'begun'));
  outbox.add('default', step(id(0), 1, 'done'));
  const { steps } = outbox.next();
  expect(steps[0]?.event.step).toBe('done');
  expect(outbox.isEmpty()).toBe(true);
});

test('names a space as lost when there is news of too many batches, or a message did not go out', () => {
  const outbox = createOutbox('me');
  for (let i = 0; i <= 500; i++) outbox.add('crowded', stored(id(i), 1));
  outbox.add('crowded', stored(id(501), 1));
  outbox.add('calm', stored(id(0), 1));
  const first = outbox.next();
  expect(first).toMatchObject({ lost: ['crowded'], spaces: { calm: [{ batch_id: id(0) }] } });
  expect(outbox.isEmpty()).toBe(true);
  outbox.putBack(first);
  expect(outbox.next()).toEqual({ boot: 'me', lost: ['crowded', 'calm'], spaces: {}, steps: [] });
});

test('names lost spaces in as many messages as it takes', () => {
  const outbox = createOutbox('me');
  const names = Array.from({ length: 300 }, (_, i) => `${'long'.repeat(15)} ${i}`);
  outbox.putBack({ boot: 'me', lost: names, spaces: {}, steps: [] });
  const messages = empty(outbox.next, outbox.isEmpty);
  expect(Math.max(...messages.map((message) => bytesOf(writeMessage(message))))).toBeLessThan(LIMIT);
  expect(messages.flatMap(({ lost }) => lost)).toEqual(names);
});

test('takes no message from strangers', () => {
  for (const payload of ['', 'hello', '7', 'null', '{}', '{"boot":"x","lost":3,"spaces":{}}', '[[]]']) {
    expect(readMessage(payload)).toBeNull();
  }
});

test('reads the message of a release that tells no steps, or other ones', () => {
  const read = (more: object) => readMessage(JSON.stringify({ boot: 'x', lost: ['a'], spaces: {}, ...more }));
  const known = { boot: 'x', lost: ['a'], spaces: {} };
  for (const steps of [undefined, null, 'none', 7, { default: [] }]) {
    expect(read({ steps })).toEqual({ ...known, steps: [] });
  }
  const strange = [null, 7, {}, [], [1, 'bat_1', 1, 'x', 1], ['default', 'bat_1', '1', 'x', 1]];
  const longer = ['default', 'bat_1', 2, 'x', 'half', { of: 'a later release' }];
  expect(read({ later: true, steps: [...strange, ['default', 'bat_1', 1, {}, 1], longer] })).toEqual({
    ...known,
    steps: [{ space: 'default', event: { ...step('bat_1', 2, 'x'), percent: null } }],
  });
});

function empty(next: () => Message, isEmpty: () => boolean): Message[] {
  const messages: Message[] = [];
  while (!isEmpty() && messages.length < 1_000) messages.push(next());
  return messages;
}

function id(i: number): string {
  return `bat_${String(i).padStart(26, '0')}`;
}

function stored(batchId: string, seq: number): SheafEvent {
  return { type: 'items_added', batch_id: batchId, seq, at: 0, count: 1, total_items: 1 };
}

function ended(batchId: string, seqs: number[]): SheafEvent {
  const jobs = seqs.map((seq) => ({ job_id: `${batchId}/${seq}`, success: true, result: null }));
  return { type: 'batch_jobs_complete', batch_id: batchId, jobs };
}

function step(batchId: string, seq: number, name: string) {
  return { type: 'item_progress' as const, batch_id: batchId, seq, step: name, percent: 40 };
}

function progress(batchId: string): SheafEvent {
  return {
    type: 'batch_progress',
    batch_id: batchId,
    seq: 1,
    status: 'running',
    total: 9,
    completed: 1,
    failed: 0,
    running: 1,
    percent_complete: 11.1,
    estimated_time_remaining_ms: null,
    items_per_second: 0,
    bytes_per_second: 0,
  };
}
