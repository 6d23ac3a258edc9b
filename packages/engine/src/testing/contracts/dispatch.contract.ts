import { describe, expect, test } from 'vitest';
import type { Dispatch, Turn } from '../../ports/dispatch.ts';
import { until } from '../until.ts';

/**
 * Everything a Dispatch promises, for every adapter. What `hasWaiting` answers is a guess by its port,
 * so it is waited for.
 *
 * @param open Opens an empty dispatch; the case closes it.
 */
export function dispatchContract(name: string, open: () => Promise<Dispatch> | Dispatch): void {
  const never = new AbortController().signal;

  function dispatchTest(title: string, body: (dispatch: Dispatch) => Promise<void>): void {
    test(title, async () => {
      const dispatch = await open();
      try {
        await body(dispatch);
      } finally {
        await dispatch.close();
      }
    });
  }

  describe(`Dispatch: ${name}`, () => {
    dispatchTest('gives the highest priority first', async (dispatch) => {
      await dispatch.offer([turn('low', 1, 1), turn('high', 1, 9), turn('middle', 1, 5)]);
      expect(await takeBatches(dispatch, 3)).toEqual(['high', 'middle', 'low']);
    });

    dispatchTest(
      'gives turns of one priority round robin among batches, in the order of offers within one',
      async (dispatch) => {
        await dispatch.offer([
          turn('a', 1),
          turn('a', 2),
          turn('a', 3),
          turn('b', 1),
          turn('c', 1),
          turn('c', 2),
        ]);
        const taken = await takeKeys(dispatch, 6);
        expect(taken).toEqual(['a:1', 'b:1', 'c:1', 'a:2', 'c:2', 'a:3']);
      },
    );

    dispatchTest(
      'lets a batch that comes later go before the further turns of another one',
      async (dispatch) => {
        await dispatch.offer([turn('a', 1), turn('a', 2), turn('a', 3)]);
        await dispatch.offer([turn('b', 1), turn('b', 2)]);
        expect(await takeKeys(dispatch, 5)).toEqual(['a:1', 'b:1', 'a:2', 'b:2', 'a:3']);
      },
    );

    dispatchTest('puts a batch that is offered again behind the others that wait', async (dispatch) => {
      await dispatch.offer([turn('a', 1), turn('b', 1)]);
      const first = await take(dispatch);
      await dispatch.handBack(first);
      await dispatch.offer([first]);
      expect(await takeBatches(dispatch, 2)).toEqual(['b', 'a']);
    });

    dispatchTest('keeps one turn when it is offered twice', async (dispatch) => {
      await dispatch.offer([turn('a', 1), turn('b', 1)]);
      await dispatch.offer([turn('a', 1)]);
      expect(await takeKeys(dispatch, 2)).toEqual(['a:1', 'b:1']);
      await until('nothing waits', () => !dispatch.hasWaiting());
    });

    dispatchTest('files a waiting turn anew when its priority is another one', async (dispatch) => {
      await dispatch.offer([turn('a', 1, 5), turn('b', 1, 5), turn('c', 1, 5)]);
      await dispatch.offer([turn('c', 1, 9)]);
      await dispatch.offer([turn('a', 1, 1)]);
      expect(await takeBatches(dispatch, 3)).toEqual(['c', 'b', 'a']);
      await until('nothing waits', () => !dispatch.hasWaiting());
    });

    dispatchTest('says at the hand-back that a turn was offered while in hand, once', async (dispatch) => {
      await dispatch.offer([turn('a', 1)]);
      const first = await take(dispatch);
      await dispatch.offer([turn('a', 1)]);
      await until('nothing waits', () => !dispatch.hasWaiting());
      expect(await dispatch.handBack(first)).toEqual({ again: true });

      await dispatch.offer([first]);
      const second = await take(dispatch);
      expect(await dispatch.handBack(second)).toEqual({ again: false });
    });

    dispatchTest('lets a turn wait for work, and wakes one taker for each', async (dispatch) => {
      const taken: string[] = [];
      const takers = [1, 2].map(async () => {
        const answer = await dispatch.take(never);
        if (answer !== null) taken.push(answer.batch_id);
      });
      await dispatch.offer([turn('low', 1, 1), turn('high', 1, 9), turn('last', 1, 0)]);
      await Promise.all(takers);
      expect(taken).toEqual(['high', 'low']);
      await until('the last one waits', () => dispatch.hasWaiting());
    });

    dispatchTest('ends an aborted take with null, and loses no turn to it', async (dispatch) => {
      const abort = new AbortController();
      const waiting = dispatch.take(abort.signal);
      abort.abort();
      expect(await waiting).toBeNull();
      expect(await dispatch.take(abort.signal)).toBeNull();

      await dispatch.offer([turn('a', 1)]);
      expect(await takeKeys(dispatch, 1)).toEqual(['a:1']);
    });

    dispatchTest(
      'ends every take with null once it is closed, and forgets later offers',
      async (dispatch) => {
        const waiting = dispatch.take(never);
        await dispatch.close();
        expect(await waiting).toBeNull();
        await dispatch.offer([turn('a', 1)]);
        expect(await dispatch.take(never)).toBeNull();
      },
    );

    dispatchTest('says whether a turn of a priority or a higher one waits', async (dispatch) => {
      expect(dispatch.hasWaiting()).toBe(false);
      await dispatch.offer([turn('a', 1)]);
      await until('a turn waits', () => dispatch.hasWaiting());
      expect([5, 6].map((least) => dispatch.hasWaiting(least))).toEqual([true, false]);
      await take(dispatch);
      await until('nothing waits', () => !dispatch.hasWaiting());
    });
  });

  async function take(dispatch: Dispatch): Promise<Turn> {
    const taken = await dispatch.take(never);
    if (taken === null) throw new Error('There was no turn.');
    return taken;
  }

  async function takeKeys(dispatch: Dispatch, count: number): Promise<string[]> {
    const keys: string[] = [];
    for (let left = count; left > 0; left--) {
      const { batch_id, n } = await take(dispatch);
      keys.push(`${batch_id}:${n}`);
    }
    return keys;
  }

  async function takeBatches(dispatch: Dispatch, count: number): Promise<string[]> {
    return (await takeKeys(dispatch, count)).map((key) => key.slice(0, key.indexOf(':')));
  }
}

function turn(batchId: string, n: number, priority = 5): Turn {
  return { batch_id: batchId, n, priority };
}
