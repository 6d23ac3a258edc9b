import { describe, expect, it } from 'vitest';
import type { Events } from '../ports/events.ts';
import { makePulse } from '../testing/factories.ts';
import { createFakeClock } from '../testing/fake-clock.ts';
import { createPulses } from './pulse.ts';

const unheard: Events = { publish: () => undefined, subscribe: () => () => undefined };

describe('the speed of a batch', () => {
  it('is that of the last ten seconds, and none when nothing ended in them', () => {
    const clock = createFakeClock();
    const pulses = createPulses({ events: unheard, clock });
    const speed = () =>
      pulses.speed({
        id: 'bat_1',
        finished: 20,
        total: 100,
        ran_ms: 2_000,
        rate_limit: null,
        isActive: true,
      });
    pulses.beat(makePulse(), []);
    clock.advance(2_000);
    pulses.beat(makePulse({ completed_items: 20, done_bytes: 4_000, ran_ms: 2_000 }), []);
    expect(speed()).toMatchObject({ items_per_second: 10, bytes_per_second: 2_000 });
    clock.advance(10_001);
    expect(speed()).toMatchObject({ items_per_second: 0, bytes_per_second: 0 });
    pulses.close();
  });
});
