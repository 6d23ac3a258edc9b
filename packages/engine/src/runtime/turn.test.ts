import { DEFAULT_POLICIES } from '@sheaf/protocol';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { BatchPulse, LeasedItem, RecordRequest } from '../ports/leasing.ts';
import type { RunResult } from '../ports/runner.ts';
import { probe } from '../processors/probe/probe.ts';
import { createSeededChance } from '../testing/chance.ts';
import { makePulse } from '../testing/factories.ts';
import { createFakeClock } from '../testing/fake-clock.ts';
import { until } from '../testing/until.ts';
import type { Recorded } from './recorder.ts';
import { createSlots } from './slots.ts';
import { startTurn } from './turn.ts';

const SLOTS = 4;

// Time stands still, so that a busy machine changes nothing.
beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

test('leaves free slots to others while its batch has no width for them', async () => {
  const { slots, records, finishOne } = await startNarrow();
  finishOne();
  await until('it records', () => records.length === 2);

  expect({ free: slots.free, asked: records[1]?.request.width }).toEqual({ free: 2, asked: 2 });
});

test('asks for width again when some time has passed', async () => {
  const { records, finishOne } = await startNarrow();
  vi.advanceTimersByTime(300);
  finishOne();
  await until('it records', () => records.length === 2);

  expect(records[1]?.request.width).toBe(SLOTS);
});

test('asks for width again as soon as its batch may run more', async () => {
  const { records, finishOne } = await startNarrow();
  finishOne();
  await until('it records', () => records.length === 2);
  records[1]?.grant(2, { concurrency: 2 * SLOTS + 1 });
  await until('it asks again', () => records.length === 3);

  expect(records[2]?.request.width).toBe(SLOTS);
});

test('ends when nothing more may start, and tells when more may', async () => {
  const { turn, slots, records, finishOne } = startOn({ width: 1, items: 1 });
  const due = Date.UTC(2026, 10, 5, 13);
  await until('it asks for more', () => records.length === 1);
  records[0]?.grant(1);
  await until('it has given back what it did not get', () => slots.free === SLOTS - 1);
  turn.renewed({ token: 'token', held: true, status: 'running', concurrency: 8, width: 1 }, 0);
  finishOne();
  await until('it records the last one and asks again', () => records.length === 2);
  expect(records[1]?.request).toMatchObject({ outcomes: [{ seq: 1 }], more: expect.any(Number) });
  records[1]?.grant(0, {}, due);

  expect(await turn.done).toMatchObject({ goesOn: false, isHeld: false, next_ready_at: due });
});

/** A turn that has asked for all slots and got two. */
async function startNarrow() {
  const turn = startOn({ width: 2 });
  const { slots, records } = turn;
  await until('it asks for more', () => records.length === 1);
  expect(records[0]?.request.width).toBe(SLOTS);
  records[0]?.grant(2);
  await until('it gives back what it did not get', () => slots.free === 2);
  return turn;
}

/** A turn of a batch of many items, on a process with `SLOTS` slots; others of it run elsewhere. */
function startOn({ width, items = 100 }: { width: number; items?: number }) {
  const slots = createSlots(SLOTS);
  const running: ((result: RunResult) => void)[] = [];
  const records: {
    request: RecordRequest;
    grant(width: number, batch?: Partial<BatchPulse>, nextReadyAt?: number | null): void;
  }[] = [];
  const turn = startTurn(
    {
      runner: { run: () => new Promise((resolve) => running.push(resolve)), close: async () => {} },
      recorder: {
        record(request) {
          const { promise, resolve } = Promise.withResolvers<Recorded>();
          records.push({
            request,
            grant: (granted, batch, nextReadyAt = null) =>
              resolve({ ...recorded(request, granted, { ...PULSE, ...batch }), next_ready_at: nextReadyAt }),
          });
          return promise;
        },
        giveUp() {},
      },
      files: {} as never, // its items have none
      clock: createFakeClock(),
      chance: createSeededChance(1),
      slots,
      work_dir: '/nowhere',
      onDiskFull: async () => false,
      keepOutputs: () => expect.unreachable('its items make none'),
      onError: expect.unreachable,
      mustYield: () => false,
      shareOf: () => SLOTS,
      onPulse() {},
      onNews() {},
    },
    {
      lease: {
        token: 'token',
        batch: {
          id: PULSE.id,
          space: 'default',
          processor: probe.name,
          processor_version: '1.0.0',
          policies: DEFAULT_POLICIES,
          concurrency: PULSE.concurrency,
        },
        epoch: 1,
        width,
        items: Array.from({ length: items }, (_, index): LeasedItem => ({ ...ITEM, seq: index + 1 })),
        configs: {},
        alone: false,
      },
      processor: probe,
      held: slots.take(width),
      pace: 0,
      asked: performance.now(),
      priority: 5,
    },
  );
  const finishOne = () =>
    running.shift()?.({ ok: true, result: null, outputs: [], metrics: null, log: null });
  return { turn, slots, records, finishOne };
}

const ITEM: Omit<LeasedItem, 'seq'> = {
  name: null,
  key: null,
  input: null,
  file: null,
  attempt: 1,
  last_attempt: 1,
  priority: 5,
  config_no: 1,
};

const PULSE = makePulse({ concurrency: 2 * SLOTS });

function recorded(request: RecordRequest, width: number, batch: BatchPulse): Recorded {
  const { token, outcomes } = request;
  return {
    token,
    lost: false,
    accepted: outcomes.length,
    refused: 0,
    batch,
    width,
    items: [],
    configs: {},
    next_ready_at: null,
    outcomes,
  };
}
