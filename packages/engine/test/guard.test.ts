import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SheafError } from '@sheaf/protocol';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { holdGuard } from '../src/adapters/guard/guard.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sheaf-guard-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('guard', () => {
  test('refuses a second server on a folder and names the first', () => {
    const guard = holdGuard(folder, { boot: 'first', now: Date.UTC(2026, 0, 2) });
    let problem: unknown;
    try {
      holdGuard(folder, { boot: 'second', now: 0 });
    } catch (error) {
      problem = error;
    }
    guard.release();
    expect(problem).toBeInstanceOf(SheafError);
    expect(problem).toMatchObject({ code: 'already_running', details: { pid: process.pid, boot: 'first' } });
    expect(String(problem)).toContain('2026-01-02');
  });

  test('gives the folder free on release, which may be called twice', () => {
    const guard = holdGuard(folder, { boot: 'first', now: 0 });
    guard.release();
    guard.release();
    const next = holdGuard(folder, { boot: 'second', now: 0 });
    expect(() => holdGuard(folder, { boot: 'third', now: 0 })).toThrow(/works on/);
    next.release();
  });

  test('makes the folder when it is missing', () => {
    const guard = holdGuard(join(folder, 'a', 'b'), { boot: 'first', now: 0 });
    guard.release();
  });
});
