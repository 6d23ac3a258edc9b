import { DatabaseSync } from 'node:sqlite';
import {
  BATCH_STATUSES,
  FINAL_STATUSES,
  ITEM_STATUSES,
  OUTCOME_STATUSES,
  PAUSE_REASONS,
} from '@sheaf/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeBatch, makeItems, openLastingStore } from '../src/testing/index.ts';

describe('the schema of the SQLite store', () => {
  let lasting: Awaited<ReturnType<typeof openLastingStore>>;
  let other: DatabaseSync;

  beforeEach(async () => {
    lasting = await openLastingStore();
    await lasting.store().create(makeBatch(), makeItems(2), { now: 1 });
    other = new DatabaseSync(lasting.file, { timeout: 5_000 });
  });
  afterEach(async () => {
    other.close();
    await lasting.dispose();
  });

  /** Sets columns of the only batch, or of its first item, behind the Store's back. */
  function set(table: 'batch' | 'item', columns: Record<string, string | number | null>): void {
    const names = Object.keys(columns).map((name) => `"${name}" = ?`);
    const where = table === 'batch' ? '' : ' where seq = 1';
    other.prepare(`update ${table} set ${names.join(', ')}${where}`).run(...Object.values(columns));
  }

  it('takes every status of a batch, and no other', () => {
    for (const status of BATCH_STATUSES) {
      const isFinal = (FINAL_STATUSES as readonly string[]).includes(status);
      const pauseReason = status === 'paused' ? 'user' : null;
      expect(() =>
        set('batch', { status, pause_reason: pauseReason, completed_at: isFinal ? 1 : null }),
      ).not.toThrow();
    }
    for (const status of [
      '',
      'Draft',
      'pausing',
      'uploading',
      'retrying',
      'deleted',
      ...onlyOf(ITEM_STATUSES),
    ]) {
      expect(() => set('batch', { status, pause_reason: null, completed_at: null })).toThrow(/CHECK/);
      expect(() => set('batch', { status, pause_reason: null, completed_at: 1 })).toThrow(/CHECK/);
    }
    expect(() => set('batch', { status: null })).toThrow(/NOT NULL/);
  });

  it('takes every reason to pause, and no other', () => {
    for (const pauseReason of PAUSE_REASONS) {
      expect(() => set('batch', { status: 'paused', pause_reason: pauseReason })).not.toThrow();
    }
    for (const pauseReason of ['', 'users', 'crash']) {
      expect(() => set('batch', { status: 'paused', pause_reason: pauseReason })).toThrow(/CHECK/);
    }
  });

  it('has a reason exactly while it is paused', () => {
    expect(() => set('batch', { status: 'paused', pause_reason: null })).toThrow(/CHECK/);
    expect(() => set('batch', { status: 'running', pause_reason: 'user' })).toThrow(/CHECK/);
  });

  it('has an end exactly when it is final', () => {
    for (const status of FINAL_STATUSES) {
      expect(() => set('batch', { status, completed_at: null })).toThrow(/CHECK/);
    }
    expect(() => set('batch', { status: 'running', completed_at: 1 })).toThrow(/CHECK/);
  });

  it('takes every outcome of an item, and no state that is derived', () => {
    for (const status of OUTCOME_STATUSES) expect(() => set('item', { status })).not.toThrow();
    expect(() => set('item', { status: null })).not.toThrow();
    const derived = ITEM_STATUSES.filter(
      (status) => !(OUTCOME_STATUSES as readonly string[]).includes(status),
    );
    for (const status of [...derived, '', 'done']) expect(() => set('item', { status })).toThrow(/CHECK/);
  });

  it('refuses counters that are more than the items', () => {
    expect(() => set('batch', { completed_items: 3 })).toThrow(/CHECK/);
    expect(() => set('batch', { completed_items: 1, cancelled_items: 2 })).toThrow(/CHECK/);
    expect(() => set('batch', { failed_items: -1 })).toThrow(/CHECK/);
    expect(() => set('batch', { leased_width: -1 })).toThrow(/CHECK/);
  });

  it('refuses an empty range and one without an attempt left', () => {
    expect(() => other.exec('update range set to_seq = from_seq - 1')).toThrow(/CHECK/);
    expect(() => other.exec('update range set attempt = last_attempt + 1')).toThrow(/CHECK/);
  });

  it('reports what somebody broke behind its back', async () => {
    const check = async () => (await lasting.store().checkInvariants()).join('\n');
    expect(await check()).toBe('');
    other.exec('update batch set completed_items = 1');
    expect(await check()).toContain('I1');
    other.exec('update batch set completed_items = 0');
    other.exec('delete from range');
    expect(await check()).toContain('I4');
    other.exec('delete from event');
    expect(await check()).toContain('I7');
  });
});

/** Words that are a status of an item but not of a batch. */
function onlyOf(statuses: readonly string[]): string[] {
  return statuses.filter((status) => !(BATCH_STATUSES as readonly string[]).includes(status));
}
