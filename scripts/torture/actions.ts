import type { Client } from '../../packages/client/src/index.ts';
import type { SeededChance } from '../../packages/engine/src/testing/chance.ts';
import { type Batch, isFinal, type NewItem, type Wire } from '../../packages/protocol/src/index.ts';
import type { Call } from './ack-log.ts';
import { type LedgerInput, ledger } from './ledger-processor.ts';

export type Answer = { batch: Wire<Batch>; first_seq: number | null };

export type NewBatch = Parameters<Client['create']>[0];

/** Makes the call. @throws What the client throws: a refusal, or `unreachable`. */
export async function perform(
  client: Client,
  call: Call,
  content: { batch: NewBatch; items: NewItem[] },
): Promise<Answer> {
  const id = call.batch_id ?? '';
  const moved = async (batch: Promise<Wire<Batch>>) => ({ batch: await batch, first_seq: null });
  const sentBack = async (answer: Promise<{ batch: Wire<Batch> }>) =>
    moved(answer.then(({ batch }) => batch));
  switch (call.action) {
    case 'create': {
      const { batch } = await client.create(content.batch, { idempotency_key: call.tag });
      return { batch, first_seq: 1 };
    }
    case 'append':
      return client.addItems(id, content.items);
    case 'pause':
      return moved(client.pause(id));
    case 'pause_now':
      return moved(client.pause(id, { mode: 'now' }));
    case 'resume':
      return moved(client.resume(id));
    case 'cancel':
      return moved(client.cancel(id));
    case 'retry':
      return sentBack(client.retry(id));
    case 'retry_cancelled':
      return sentBack(client.retry(id, { status: ['cancelled'] }));
    case 'retry_item':
      return sentBack(client.retry(id, { items: [call.value ?? 1] }));
    case 'priority':
      return moved(client.update(id, { priority: call.value ?? 5 }));
    case 'concurrency':
      return moved(client.update(id, { concurrency: call.value ?? 1 }));
  }
}

/** What an answer says that it should not, or null. */
export function wrongIn(call: Call, { batch }: Answer): string | null {
  const { status, pause_reason, priority, concurrency } = batch;
  const isStanding = status === 'paused' && pause_reason !== null;
  const rights: Partial<Record<Call['action'], boolean>> = {
    create: status !== 'draft',
    pause: isStanding || isFinal(status),
    pause_now: isStanding || isFinal(status),
    // The canary or the failure budget may hold what the user let go.
    resume: status !== 'cancelled' && !(status === 'paused' && pause_reason === 'user'),
    cancel: status === 'cancelled',
    priority: priority === call.value,
    concurrency: concurrency === call.value,
  };
  if (rights[call.action] === false) {
    return `${call.action} was answered with ${status} ${pause_reason ?? ''}, priority ${priority}, concurrency ${concurrency}`;
  }
  return wrongNumbers(batch);
}

/** Whether the parts of a batch are its total, none of them negative; what is wrong, or null. */
export function wrongNumbers(batch: Wire<Batch>): string | null {
  const { pending_items, running_items, completed_items, failed_items, cancelled_items, skipped_items } =
    batch;
  const parts = [pending_items, running_items, completed_items, failed_items, cancelled_items, skipped_items];
  const sum = parts.reduce((total, part) => total + part, 0);
  if (sum === batch.total_items && parts.every((part) => part >= 0)) return null;
  return `the numbers of the answer do not add up: ${parts.join(' + ')} of ${batch.total_items}`;
}

/** A new batch of the given number of items: probes, or lines in the ledger. */
export function makeBatch(
  chance: SeededChance,
  { tag, count, ledgerFile }: { tag: string; count: number; ledgerFile: string },
): NewBatch {
  const inLedger = chance.often(0.3);
  const processor = inLedger ? ledger.name : 'probe';
  const probe = { wait_ms: chance.pick([0, 0, 2, 10, 40]), fail_rate: chance.pick([0, 0, 0.1, 0.5]) };
  return {
    name: tag,
    processor,
    ...(inLedger ? {} : { config: probe }),
    items: makeItems(chance, { tag, count, processor, ledgerFile }),
    concurrency: 1 + chance.below(inLedger ? 3 : 8),
    // A process takes long to start after a kill: meanwhile the probes shall have room.
    priority: chance.below(inLedger ? 5 : 10),
    max_attempts: 1 + chance.below(4),
    backoff: { base_ms: 40, max_ms: 400 },
    ...(chance.often(0.12) ? { recovery: 'review' as const } : {}),
    ...(chance.often(0.1) ? { failure_budget: { percent: 30, min_items: 10 } } : {}),
    ...(chance.often(0.1) ? { canary: { items: 3, min_pass_percent: 60 } } : {}),
  };
}

/** Items whose names tell which call brought them: `c17-0`, `c17-1` … */
export function makeItems(
  chance: SeededChance,
  {
    tag,
    count,
    processor,
    ledgerFile,
  }: { tag: string; count: number; processor: string; ledgerFile: string },
): NewItem[] {
  return Array.from({ length: count }, (_, index) => {
    const name = `${tag}-${index}`;
    if (processor !== ledger.name) return { name };
    const input: LedgerInput = {
      ledger: ledgerFile,
      wait_ms: chance.pick([0, 5, 20, 60]),
      mood: chance.often(0.8) ? 'well' : chance.pick(['odd', 'odd', 'permanent', 'exit']),
      output: chance.often(0.15),
    };
    return { name, input };
  });
}
