import { expect, it } from 'vitest';
import { doomedBytesOf } from '../src/domain/doomed-bytes.ts';
import type { BlobRef, RemovedBlob } from '../src/ports/files.ts';
import type { FileRow } from '../src/ports/store.ts';
import {
  createFakeClock,
  createSeededChance,
  makeFile,
  openMemoryStore,
  type SeededChance,
} from '../src/testing/index.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** Few texts, so that all are about the same bytes. */
const TEXTS = ['a', 'b', 'c'];

/** Each call does the next thing it has to do, and answers whether there is more. */
type Actor = { step(): Promise<boolean>; kind: 'namer' | 'sweeper'; sha256?: string };

/**
 * Plays one history of processes that store, name, prune and remove, in turns that chance decides; some
 * die, some are slow. Bytes are a set, which nobody but they themselves guard.
 */
async function play(seed: number, steps: number): Promise<void> {
  const chance = createSeededChance(seed);
  const clock = createFakeClock();
  const store = await openMemoryStore();
  const bytes = new Set<string>();
  const named = new Map<string, FileRow>();
  /** Bytes whose namer died: nobody knows of them. */
  const forgotten = new Set<string>();
  let actors: Actor[] = [];

  const check = async () => {
    for (const [id, file] of named) {
      const isNamed = await store.file({ space: 'default', file_id: id }).then(
        () => true,
        () => false,
      );
      if (!isNamed) named.delete(id);
      else if (!bytes.has(file.sha256)) throw new Error(`seed ${seed}: ${file.name} has lost its bytes`);
    }
  };

  for (let count = 0; count < steps; count++) {
    const kind = chance.pick([
      'namer',
      'namer',
      'sweeper',
      'prune',
      'die',
      'wait',
      'step',
      'step',
      'step',
      'step',
    ]);
    if (kind === 'namer') actors.push(createNamer(chance));
    if (kind === 'sweeper') actors.push(createSweeper(chance.pick([0, HOUR_MS])));
    if (kind === 'prune') await store.prune({ now: clock.now(), limit: chance.pick([1, 10]) });
    if (kind === 'die' && chance.often(0.5)) kill(chance.pick(actors.length > 0 ? actors : [null]));
    if (kind === 'wait') await wait(chance.pick([1_000, 20_000, 50_000, 2 * MINUTE_MS, 2 * HOUR_MS]));
    const actor = actors[chance.below(Math.max(1, actors.length))];
    if (kind === 'step' && actor !== undefined && !(await actor.step())) drop(actor);
    await check();
  }
  await comeToAnEnd();
  expect(await store.checkInvariants()).toEqual([]);
  await store.close();

  /** What nothing names is gone in the end, and what has a name is there. */
  async function comeToAnEnd(): Promise<void> {
    for (let round = 0; round < 3; round++) {
      await endAll();
      clock.advance(2 * HOUR_MS);
      while ((await store.prune({ now: clock.now(), limit: 100 })).removed > 0);
      await check();
      actors.push(createSweeper(HOUR_MS));
    }
    const kept = new Set([...named.values()].map(({ sha256 }) => sha256));
    const left = [...bytes].filter((sha256) => !kept.has(sha256) && !forgotten.has(sha256));
    expect(left, `seed ${seed}: bytes that nothing names`).toEqual([]);
  }

  /** A namer waits until what a dead sweeper has claimed is somebody else's, and removed. */
  async function endAll(): Promise<void> {
    for (let rounds = 0; actors.length > 0; rounds++) {
      if (rounds > 300) throw new Error(`seed ${seed}: ${actors.length} never end`);
      for (const actor of actors) if (!(await actor.step())) drop(actor);
      await check();
      if (rounds % 10 < 9) continue;
      clock.advance(2 * MINUTE_MS);
      actors.push(createSweeper(HOUR_MS));
    }
  }

  function drop(actor: Actor): void {
    actors = actors.filter((each) => each !== actor);
  }

  function kill(actor: Actor | null): void {
    if (actor === null) return;
    if (actor.sha256 !== undefined) forgotten.add(actor.sha256);
    drop(actor);
  }

  /** Nobody takes an hour from storing to naming. */
  async function wait(ms: number): Promise<void> {
    if (ms >= HOUR_MS) {
      for (const actor of actors.filter((each) => each.kind === 'namer')) kill(actor);
    }
    clock.advance(ms);
  }

  function createNamer(chances: SeededChance): Actor {
    const isShort = chances.often(0.7);
    const age = isShort ? DAY_MS + 1 : 0;
    const file = makeFile(chances.pick(TEXTS), { created_at: clock.now() - age });
    let next: 'store' | 'name' | 'look' = 'store';
    let confirmed: readonly RemovedBlob[] = [];
    return {
      kind: 'namer',
      sha256: file.sha256,
      async step() {
        if (next === 'look') {
          next = 'name';
          return bytes.has(file.sha256);
        }
        if (next === 'store') {
          bytes.add(file.sha256);
          next = 'name';
          return true;
        }
        try {
          await store.addFile(file, { confirmed });
          named.set(file.id, file);
          return false;
        } catch (error) {
          const doomed = doomedBytesOf(error);
          if (doomed === null) throw error;
          if (doomed.removed.length > 0) next = 'look';
          confirmed = doomed.removed;
          return true;
        }
      },
    };
  }

  function createSweeper(graceMs: number): Actor {
    let claimedAt = 0;
    let blobs: BlobRef[] | null = null;
    const removed: BlobRef[] = [];
    return {
      kind: 'sweeper',
      async step() {
        if (blobs === null) {
          claimedAt = clock.now();
          const doomedBefore = claimedAt - graceMs;
          blobs = await store.claimDoomed({ now: claimedAt, doomed_before: doomedBefore, limit: 2 });
          return blobs.length > 0;
        }
        const blob = blobs[removed.length];
        if (blob !== undefined && clock.now() - claimedAt < MINUTE_MS) {
          bytes.delete(blob.sha256);
          removed.push(blob);
          return true;
        }
        const kept = blobs.slice(removed.length);
        await store.endClaim({ claimed_at: claimedAt, removed, kept, now: clock.now() });
        return false;
      },
    };
  }
}

it('whatever is named has its bytes, and whatever is not is gone in the end', {
  timeout: 60_000,
}, async () => {
  for (let seed = 1; seed <= 150; seed++) await play(seed, 120);
});
