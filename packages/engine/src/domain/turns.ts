/** An invitation to work on one batch: the first, the second … of those it may have at a time. */
export type Invitation = { batch_id: string; n: number; priority: number; pool: string };

/**
 * The invitations a batch needs: one for each worker that could help, never more than it may run
 * items at a time. Too many cost a look at the Store, too few leave a worker idle until the sweep.
 */
export function turnsOf(
  batch: { batch_id: string; priority: number; concurrency: number; pool: string },
  workers: number,
): Invitation[] {
  const count = Math.max(1, Math.min(batch.concurrency, workers));
  const { batch_id, priority, pool } = batch;
  return Array.from({ length: count }, (_, index) => ({ batch_id, n: index + 1, priority, pool }));
}
