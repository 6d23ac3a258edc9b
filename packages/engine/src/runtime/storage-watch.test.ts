import { SheafError } from '@sheaf/protocol';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Store } from '../ports/store.ts';
import { openMemoryStore } from '../testing/temporary-store.ts';
import { watchStore } from './storage-watch.ts';

const lost = new SheafError('storage_failed', 'The disk failed to keep a write.');
const full = new SheafError('storage_full', 'The disk is full.');

/** A Store of which one call fails, once. */
async function failingOnce(method: 'sweep' | 'ready', error: unknown) {
  const store = await openMemoryStore();
  onTestFinished(() => store.close());
  const told: unknown[] = [];
  let calls = 0;
  const failing: Store = {
    ...store,
    [method]: async (...args: never[]) => {
      calls += 1;
      if (calls === 1) throw error;
      // The same method with the arguments it was called with.
      return (store[method] as (...args: never[]) => Promise<unknown>)(...args);
    },
  };
  const watch = {
    onFailed: (reason: unknown) => told.push(reason),
    onFull: () => told.push('full'),
  };
  return { store: watchStore(failing, watch), told };
}

describe('a watched Store', () => {
  it('writes nothing more once a write was not kept, even if the disk would take it', async () => {
    const { store, told } = await failingOnce('sweep', lost);
    await expect(store.sweep(1)).rejects.toBe(lost);
    await expect(store.sweep(2)).rejects.toBe(lost);
    await expect(store.ready({ now: 2, limit: 1 })).rejects.toBe(lost);
    await expect(store.get({ space: 'default', batch_id: 'x' })).rejects.toBe(lost);
    expect(told).toEqual([lost]);
  });

  it('goes on after a full disk, and tells of it each time', async () => {
    const { store, told } = await failingOnce('sweep', full);
    await expect(store.sweep(1)).rejects.toBe(full);
    expect(await store.sweep(2)).toEqual({ expired: 0 });
    expect(told).toEqual(['full']);
  });

  it('leaves every other problem to its caller', async () => {
    const { store, told } = await failingOnce('ready', new Error('a mistake'));
    await expect(store.ready({ now: 1, limit: 1 })).rejects.toThrow('a mistake');
    await expect(store.get({ space: 'default', batch_id: 'x' })).rejects.toMatchObject({ code: 'not_found' });
    expect(told).toEqual([]);
  });
});
