import { errorCode } from '@sheaf/protocol';
import type { Clock } from '../ports/clock.ts';
import type { BlobRef, Files } from '../ports/files.ts';
import type { Store } from '../ports/store.ts';

/** Bytes that lost their last name are kept this long: who stores equal ones meanwhile finds them in place. */
const GRACE_MS = 3_600_000;

/** Blobs of one claim, and removals under way at once: a bucket takes its time for each. */
const CLAIM_BLOBS = 200;
const PARALLEL_REMOVALS = 8;

/**
 * No removal begins later than this after its claim. With the 30 s that one may take they are over long
 * before somebody else may have the claim, even in a process that was stopped for a minute.
 */
const BEGIN_MS = 20_000;

/**
 * Removes the bytes that nothing names any more, claim by claim. Whatever process dies in here, another
 * one goes on.
 *
 * @param options.grace_ms How long they are kept. @default an hour
 */
export async function removeDoomed(options: {
  store: Store;
  files: Files;
  clock: Clock;
  grace_ms?: number;
  isClosing?: () => boolean;
}): Promise<void> {
  const { store, files, clock, grace_ms = GRACE_MS, isClosing = () => false } = options;
  while (!isClosing()) {
    const claimedAt = clock.now();
    const endAt = performance.now() + BEGIN_MS;
    const blobs = await store.claimDoomed({
      now: claimedAt,
      doomed_before: claimedAt - grace_ms,
      limit: CLAIM_BLOBS,
    });
    if (blobs.length === 0) return;
    const mayBegin = () => performance.now() < endAt && !isClosing();
    const { removed, kept, problem } = await removeAll(files, blobs, mayBegin);
    await store.endClaim({ claimed_at: claimedAt, removed, kept, now: clock.now() });
    if (problem !== null) throw problem.error;
  }
}

type Removal = { removed: BlobRef[]; kept: BlobRef[]; problem: { error: unknown } | null };

async function removeAll(files: Files, blobs: readonly BlobRef[], mayBegin: () => boolean): Promise<Removal> {
  const all: Removal = { removed: [], kept: [], problem: null };
  let isAway = false;
  const left = blobs.values();
  const lane = async () => {
    for (const blob of left) {
      if (isAway || !mayBegin()) {
        all.kept.push(blob);
        continue;
      }
      try {
        await files.remove(blob.space, blob.sha256);
        all.removed.push(blob);
      } catch (error) {
        all.problem ??= { error };
        if (isRefusal(error)) all.kept.push(blob);
        // Nobody knows whether these are gone: they stay claimed, and are removed once more later.
        else isAway = true;
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL_REMOVALS }, lane));
  return all;
}

/** Whether the bytes are there for sure: the bucket or the folder said no. */
function isRefusal(error: unknown): boolean {
  if (errorCode(error) === 'bad_config') return true;
  const code = error instanceof Error && 'code' in error ? error.code : null;
  return code === 'EACCES' || code === 'EPERM' || code === 'EROFS';
}
