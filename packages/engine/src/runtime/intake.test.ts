import { afterEach, expect, test } from 'vitest';
import { createRegistry } from '../domain/registry.ts';
import type { Store } from '../ports/store.ts';
import { probe } from '../processors/probe/probe.ts';
import { createSeededChance } from '../testing/chance.ts';
import { createFakeClock } from '../testing/fake-clock.ts';
import { openMemoryStore } from '../testing/temporary-store.ts';
import { createIntake } from './intake.ts';
import type { Uploads } from './uploads.ts';

const opened: Store[] = [];

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});

test('finds the batch that a call made and started whose answer got lost, when the call is repeated', async () => {
  const store = await openMemoryStore();
  opened.push(store);
  const create = (by: Store) =>
    intakeOf(by).create({ processor: 'probe', items: [{ name: 'one' }] }, { idempotency_key: 'k' });

  const loses: Store['create'] = async (...call) => {
    await store.create(...call);
    throw new Error('the process ends here');
  };
  await expect(create({ ...store, create: loses })).rejects.toThrow('ends here');
  const { batch, created } = await create(store);

  expect({ created, status: batch.status }).toEqual({ created: false, status: 'queued' });
});

function intakeOf(store: Store) {
  return createIntake({
    store,
    uploads: {} as Uploads, // no file comes with these items
    clock: createFakeClock(),
    chance: createSeededChance(1),
    processors: createRegistry('processor', [['probe', probe]]),
    templates: createRegistry('template', []),
  });
}
