import { expect } from 'vitest';
import type { BlobRef } from '../../../ports/files.ts';
import type { FileRow } from '../../../ports/store.ts';
import { makeFile, makeItem, makeOutcome, makeOutput } from '../../factories.ts';
import { refused, type Scene, type StoreTest } from './scene.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

const refOf = ({ space, sha256 }: FileRow): BlobRef => ({ space, sha256 });

/** Everything that was doomed by now. */
function claim({ store, clock }: Scene, limit = 100): Promise<BlobRef[]> {
  return store.claimDoomed({ now: clock.now(), doomed_before: clock.now(), limit });
}

/** Removes all that prune finds. */
async function prune({ store, clock }: Scene): Promise<void> {
  while ((await store.prune({ now: clock.now(), limit: 100 })).removed > 0);
}

/** A file that was the last one of its bytes, and is gone. */
async function doom(scene: Scene, text: string, fields: Partial<FileRow> = {}): Promise<FileRow> {
  const { store, clock } = scene;
  const file = makeFile(text, { created_at: clock.now() - DAY_MS - 1, ...fields });
  await store.addFile(file);
  await prune(scene);
  await refused(store.file({ space: file.space, file_id: file.id }), 'not_found');
  return file;
}

/** Bytes that were removed just now. */
async function remove(scene: Scene, text: string): Promise<FileRow> {
  const { store, clock } = scene;
  const file = await doom(scene, text);
  const removed = await claim(scene);
  expect(removed).toEqual([refOf(file)]);
  await store.endClaim({ claimed_at: clock.now(), removed, kept: [], now: clock.now() });
  return file;
}

/** What becomes of bytes that lose their last name. */
export function blobCases(test: StoreTest): void {
  test('dooms bytes with the last file that names them', async (scene) => {
    const { store, draft, act } = scene;
    const [shared, own] = [makeFile('shared'), makeFile('own')];
    const copy = makeFile('shared', { name: 'copy.png' });
    for (const file of [shared, own, copy]) await store.addFile(file);
    const gone = await draft({ items: [makeItem({ file_id: shared.id }), makeItem({ file_id: own.id })] });
    const other = await draft({ items: [makeItem({ file_id: copy.id })] });
    await store.delete(act(gone));
    await prune(scene);
    expect(await claim(scene)).toEqual([refOf(own)]);
    await store.delete(act(other));
    await prune(scene);
    expect(await claim(scene)).toEqual([refOf(shared)]);
  });

  test('dooms the outputs of a deleted batch, in its own space only', async (scene) => {
    const { store, started, lease, record, act } = scene;
    const batch = await started({ items: 2, space: 'other' });
    const held = await lease(batch);
    const outputs = [makeOutput('same'), makeOutput('same')];
    const kept = makeFile('same');
    await store.addFile(kept);
    await record(
      held,
      held.items.map((item, index) => makeOutcome(item, { outputs: outputs.slice(index, index + 1) })),
    );
    await store.delete(act(batch));
    await prune(scene);
    expect(await claim(scene)).toEqual([{ space: 'other', sha256: kept.sha256 }]);
    await store.addFile(makeFile('same'));
  });

  test('claims only what was doomed long enough ago, the first ones first', async (scene) => {
    const { store, clock } = scene;
    const files: FileRow[] = [];
    for (const text of ['a', 'b', 'c']) {
      files.push(await doom(scene, text));
      clock.advance(MINUTE_MS);
    }
    const [a, b, c] = files.map(refOf);
    const early = { now: clock.now(), limit: 100 };
    expect(await store.claimDoomed({ ...early, doomed_before: clock.now() - 3 * MINUTE_MS - 1 })).toEqual([]);
    expect(await store.claimDoomed({ ...early, doomed_before: clock.now() - 3 * MINUTE_MS })).toEqual([a]);
    expect(await claim(scene, 1)).toEqual([b]);
    expect(await claim(scene, 1)).toEqual([c]);
    expect(await claim(scene, 1)).toEqual([]);
  });

  test('gives a claim that nobody ended to another after two minutes, and to no other before', async (scene) => {
    const { store, clock } = scene;
    const file = await doom(scene, 'a');
    const [first] = [clock.now(), await claim(scene)];
    clock.advance(2 * MINUTE_MS - 1);
    expect(await claim(scene)).toEqual([]);
    const second = clock.advance(1);
    expect(await claim(scene)).toEqual([refOf(file)]);
    // The first one comes back: the claim is not its own any more.
    const ended = { removed: [refOf(file)], kept: [], now: clock.now() };
    await store.endClaim({ ...ended, claimed_at: first });
    expect((await refused(store.addFile(makeFile('a')), 'bytes_doomed')).details).toEqual({
      claimed: [refOf(file)],
      removed: [],
    });
    await store.endClaim({ ...ended, removed: [], kept: [refOf(file)], claimed_at: first });
    await refused(store.addFile(makeFile('a')), 'bytes_doomed');
    await store.endClaim({ ...ended, claimed_at: second });
    clock.advance(3 * MINUTE_MS);
    expect(await claim(scene)).toEqual([]);
  });

  test('dooms bytes no longer that get a name again', async (scene) => {
    const { store, started, lease, record, clock } = scene;
    for (const text of ['upload', 'output', 'gone']) await doom(scene, text);
    await store.addFile(makeFile('upload'));
    const held = await lease(await started({ items: 1 }));
    const [item] = held.items;
    if (item === undefined) throw new Error('Nothing was leased.');
    const answer = await record(held, [makeOutcome(item, { outputs: [makeOutput('output')] })]);
    expect(answer).toMatchObject({ lost: false, accepted: 1 });
    clock.advance(DAY_MS);
    expect(await claim(scene)).toEqual([refOf(makeFile('gone'))]);
  });

  test('refuses a file whose bytes are claimed, until they are surely there', async (scene) => {
    const { store, clock } = scene;
    const gone = await doom(scene, 'a');
    const blobs = await claim(scene);
    const file = makeFile('a');
    const { details } = await refused(store.addFile(file), 'bytes_doomed');
    expect(details).toEqual({ claimed: [refOf(gone)], removed: [] });
    // Nobody can know yet whether they will be there.
    const confirmed = [{ ...refOf(gone), removed_at: clock.now() }];
    await refused(store.addFile(file, { confirmed }), 'bytes_doomed');
    await store.addFile(makeFile('a', { space: 'other' }));
    await refused(store.file({ space: 'default', file_id: file.id }), 'not_found');
    await store.endClaim({ claimed_at: clock.now(), removed: [], kept: blobs, now: clock.now() });
    await store.addFile(file);
    clock.advance(DAY_MS);
    expect(await claim(scene)).toEqual([]);
  });

  test('takes removed bytes only from who has found them since', async (scene) => {
    const { store, clock } = scene;
    const confirmed = [{ ...refOf(await remove(scene, 'a')), removed_at: clock.now() }];
    const file = makeFile('a');
    const { details } = await refused(store.addFile(file), 'bytes_doomed');
    expect(details).toEqual({ claimed: [], removed: confirmed });
    await store.addFile(file, { confirmed });
    await store.addFile(makeFile('a'));
    clock.advance(HOUR_MS);
    expect(await claim(scene)).toEqual([]);
  });

  test('takes no bytes from who has found them before they were removed once more', async (scene) => {
    const { store, clock } = scene;
    const confirmed = [{ ...refOf(await remove(scene, 'a')), removed_at: clock.now() }];
    await store.addFile(makeFile('a', { created_at: clock.now() - DAY_MS - 1 }), { confirmed });
    await prune(scene);
    clock.advance(1);
    const removed = await claim(scene);
    expect(removed).toHaveLength(1);
    await store.endClaim({ claimed_at: clock.now(), removed, kept: [], now: clock.now() });
    await refused(store.addFile(makeFile('a'), { confirmed }), 'bytes_doomed');
  });

  test('forgets a removal after an hour', async (scene) => {
    const { store, clock } = scene;
    await remove(scene, 'a');
    clock.advance(HOUR_MS - 1);
    await prune(scene);
    await refused(store.addFile(makeFile('a')), 'bytes_doomed');
    clock.advance(1);
    await prune(scene);
    await store.addFile(makeFile('a'));
  });

  test('records nothing of a group when an output cannot be named, and all of it once it can', async (scene) => {
    const { store, started, lease, clock, get } = scene;
    const [removed, doomed] = [await remove(scene, 'removed'), await doom(scene, 'doomed')];
    const batches = [await started({ items: 1 }), await started({ items: 1 })];
    const requests = [];
    for (const [index, batch] of batches.entries()) {
      const held = await lease(batch);
      const outputs = index === 0 ? [] : [makeOutput('removed'), makeOutput('doomed')];
      const outcomes = held.items.map((item) => makeOutcome(item, { outputs }));
      requests.push({ token: held.token, batch_id: batch.id, outcomes, more: 0, width: 1 });
    }
    const { details } = await refused(store.record(requests, clock.now()), 'bytes_doomed');
    const confirmed = [{ ...refOf(removed), removed_at: clock.now() }];
    expect(details).toEqual({ claimed: [], removed: confirmed });
    for (const batch of batches) expect(await get(batch)).toMatchObject({ completed_items: 0 });
    const other = confirmed.map((blob) => ({ ...blob, space: 'other' }));
    await refused(store.record(requests, clock.now(), { confirmed: other }), 'bytes_doomed');
    const answers = await store.record(requests, clock.now(), { confirmed });
    expect(answers.map(({ accepted }) => accepted)).toEqual([1, 1]);
    for (const batch of batches) expect(await get(batch)).toMatchObject({ status: 'completed' });
    expect(await claim(scene)).not.toContainEqual(refOf(doomed));
  });

  test('a failed attempt names nothing', async (scene) => {
    const { started, lease, record } = scene;
    await remove(scene, 'a');
    const held = await lease(await started({ items: 1 }));
    const outcomes = held.items.map((item) =>
      makeOutcome(item, { status: 'failed', outputs: [makeOutput('a')] }),
    );
    expect(await record(held, outcomes)).toMatchObject({ accepted: 1 });
  });
}
