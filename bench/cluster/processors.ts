import { setTimeout as sleep } from 'node:timers/promises';
import { defineProcessor, type Processor } from '../../packages/engine/src/index.ts';
import { moment, tell } from './remote.ts';

/** How long an item takes, and whether the bench wants to hear of it. */
export type WaitInput = { ms: number; told?: boolean };

/** What a worker tells of such an item. */
export type ItemNews = { batch_id: string; seq: number; what: 'begun' | 'ended'; at: number };

/** Work that only waits, as a call to somebody else's service does. */
export const wait = defineProcessor<Record<string, never>, WaitInput>({
  name: 'bench.wait',
  isolation: 'inline',
  async run({ batch_id, seq, input: { ms, told } }, { signal }) {
    if (told) tell({ batch_id, seq, what: 'begun', at: moment() } satisfies ItemNews);
    await sleep(ms, undefined, { signal });
    if (told) tell({ batch_id, seq, what: 'ended', at: moment() } satisfies ItemNews);
  },
}) as unknown as Processor; // the engine knows no input types
