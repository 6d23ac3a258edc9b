import { setTimeout as wait } from 'node:timers/promises';
import { type Client, createClient } from '../../packages/client/src/index.ts';
import { type Batch, isFinal, type Wire } from '../../packages/protocol/src/index.ts';
import type { Action } from './ack-log.ts';
import { perform } from './actions.ts';
import type { Crowd } from './clients.ts';
import { type Problem, problem } from './problem.ts';

/** From the last kill until every batch has ended, on a machine that has other things to do. */
const END_LIMIT_MS = 240_000;

const PAGE = 200;

/** Resumes and retries everything, and waits until every batch has ended by itself. */
export async function finishAll(url: string, crowd: Crowd): Promise<Problem[]> {
  const client = createClient({ url });
  const deadline = performance.now() + END_LIMIT_MS;
  const act = (batch: Wire<Batch>, action: Action) => actOn(client, crowd, batch, action);
  for (const batch of await listAll(client, [])) {
    if (batch.status === 'cancelled' && batch.batch_counter % 2 === 0) await act(batch, 'retry_cancelled');
    if (batch.failed_items > 0 && batch.status !== 'cancelled') await act(batch, 'retry');
  }
  for (;;) {
    const open = (
      await listAll(client, ['draft', 'awaiting_approval', 'queued', 'running', 'paused'])
    ).filter(({ status }) => !isFinal(status));
    if (open.length === 0) return [];
    // Canaries and failure budgets hold a batch more than once.
    for (const batch of open) if (batch.status === 'paused') await act(batch, 'resume');
    if (performance.now() > deadline) {
      return open.map(({ id, status, pending_items, running_items }) =>
        problem('lost', `${id} is still ${status}, ${pending_items} items wait and ${running_items} run`),
      );
    }
    await wait(200);
  }
}

async function actOn(client: Client, { acks }: Crowd, batch: Wire<Batch>, action: Action): Promise<void> {
  const call = acks.sent({ action, batch_id: batch.id, count: 0, value: null }, 0);
  const answer = await perform(client, call, { batch: {}, items: [] });
  acks.acknowledged(call, answer.batch, answer.first_seq);
}

async function listAll(client: Client, status: readonly string[]): Promise<Wire<Batch>[]> {
  const all: Wire<Batch>[] = [];
  for (;;) {
    const { data, total } = await client.list({
      status,
      limit: PAGE,
      offset: all.length,
      sort_by: 'created_at',
      sort_order: 'ASC',
    });
    all.push(...data);
    if (data.length === 0 || all.length >= total) return all;
  }
}
