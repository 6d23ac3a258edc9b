import type { SheafEvent } from '@sheaf/protocol';
import { describe, expect, test } from 'vitest';
import type { Events } from '../../ports/events.ts';
import { until } from '../until.ts';

/**
 * Everything an Events adapter promises.
 *
 * @param open Opens one; `close` ends it.
 */
export function eventsContract(
  name: string,
  open: () => Promise<{ events: Events; close: () => Promise<void> }>,
): void {
  function eventsTest(title: string, body: (events: Events) => Promise<void>): void {
    test(title, async () => {
      const { events, close } = await open();
      try {
        await body(events);
      } finally {
        await close();
      }
    });
  }

  describe(`Events: ${name}`, () => {
    eventsTest('brings an event to every listener of its space, in order', async (events) => {
      const heard: string[][] = [[], []];
      for (const list of heard) events.subscribe('default', (event) => list.push(event.batch_id));
      for (const id of ['a', 'b', 'c']) events.publish('default', news(id));
      await until('all was heard', () => heard.every((list) => list.length === 3));
      expect(heard).toEqual([
        ['a', 'b', 'c'],
        ['a', 'b', 'c'],
      ]);
    });

    eventsTest('tells one space nothing of another', async (events) => {
      const heard: string[] = [];
      events.subscribe('mine', (event) => heard.push(event.batch_id));
      events.publish('theirs', news('a'));
      events.publish('mine', news('b'));
      await until('the own event was heard', () => heard.includes('b'));
      expect(heard).toEqual(['b']);
    });

    eventsTest('calls a listener no more after it has stopped, others go on', async (events) => {
      const heard = { stopped: 0, other: 0 };
      const stop = events.subscribe('default', () => heard.stopped++);
      events.subscribe('default', () => heard.other++);
      stop();
      stop();
      events.publish('default', news('a'));
      await until('the other one heard it', () => heard.other === 1);
      expect(heard.stopped).toBe(0);
    });

    eventsTest('counts the same function twice when it subscribes twice', async (events) => {
      let heard = 0;
      const listener = () => heard++;
      const stop = events.subscribe('default', listener);
      events.subscribe('default', listener);
      stop();
      events.publish('default', news('a'));
      await until('it was heard', () => heard > 0);
      expect(heard).toBe(1);
    });
  });
}

function news(batchId: string): SheafEvent {
  return { type: 'batch_deleted', by: 'test', seq: 1, at: 0, batch_id: batchId };
}
