import type { SheafEvent } from '@sheaf/protocol';
import { expect, test } from 'vitest';
import { bytesOf, type Message, readMessage, writeMessage } from './message.ts';
import { createOutbox } from './outbox.ts';

/** What PostgreSQL takes in one NOTIFY. */
const LIMIT = 8_000;

test('says of each batch once what is new: the first event, whether it moved, which items ended', () => {
  const outbox = createOutbox('me');
  outbox.add('default', stored('bat_1', 7));
  outbox.add('default', stored('bat_1', 6));
  outbox.add('default', stored('bat_1', 8));
  outbox.add('other', progress('bat_2'));
  outbox.add('other', ended('bat_2', [3, 5]));
  outbox.add('other', { type: 'item_progress', batch_id: 'bat_3', seq: 1, step: 'x', percent: 1 });
  const said = readMessage(writeMessage(outbox.next()));
  expect(said).toEqual({
    boot: 'me',
    lost: [],
    spaces: {
      default: [{ batch_id: 'bat_1', first: 6, progress: false, ended: [] }],
      other: [{ batch_id: 'bat_2', first: 0, progress: true, ended: [3, 5] }],
    },
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

test('names a space as lost when there is news of too many batches, or a message did not go out', () => {
  const outbox = createOutbox('me');
  for (let i = 0; i <= 500; i++) outbox.add('crowded', stored(id(i), 1));
  outbox.add('crowded', stored(id(501), 1));
  outbox.add('calm', stored(id(0), 1));
  const first = outbox.next();
  expect(first).toMatchObject({ lost: ['crowded'], spaces: { calm: [{ batch_id: id(0) }] } });
  expect(outbox.isEmpty()).toBe(true);
  outbox.putBack(first);
  expect(outbox.next()).toEqual({ boot: 'me', lost: ['crowded', 'calm'], spaces: {} });
});

test('names lost spaces in as many messages as it takes', () => {
  const outbox = createOutbox('me');
  const names = Array.from({ length: 300 }, (_, i) => `${'long'.repeat(15)} ${i}`);
  outbox.putBack({ boot: 'me', lost: names, spaces: {} });
  const messages = empty(outbox.next, outbox.isEmpty);
  expect(Math.max(...messages.map((message) => bytesOf(writeMessage(message))))).toBeLessThan(LIMIT);
  expect(messages.flatMap(({ lost }) => lost)).toEqual(names);
});

test('takes no message from strangers', () => {
  for (const payload of ['', 'hello', '7', 'null', '{}', '{"boot":"x","lost":3,"spaces":{}}', '[[]]']) {
    expect(readMessage(payload)).toBeNull();
  }
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
