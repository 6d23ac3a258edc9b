import { setTimeout as wait } from 'node:timers/promises';
import { z } from 'zod';
import { defineProcessor } from '../../define-processor.ts';

const config = z.strictObject({
  wait_ms: z.int().min(0).max(86_400_000).default(0).describe('How long an item takes.'),
  fail_rate: z.number().min(0).max(1).default(0).describe('The share of attempts that fail.'),
});

const RESULT = { ok: true };

/** Waits, or fails, and does nothing else: for trying, teaching and load tests. */
export const probe = defineProcessor({
  name: 'probe',
  description: 'Waits wait_ms and fails by fail_rate; for trying, teaching and load tests.',
  config,
  // Synchronous when there is nothing to wait for: a load test measures the engine, not the probe.
  run({ batch_id, seq, attempt }, context) {
    const { wait_ms, fail_rate } = context.config;
    const end = () => {
      if (fail_rate > 0 && chanceOf(`${batch_id}/${seq}/${attempt}`) < fail_rate) {
        throw Object.assign(new Error(`Attempt ${attempt} of item ${seq} failed, as fail_rate asked.`), {
          code: 'probe_failed',
        });
      }
      return RESULT;
    };
    // The signal is made when it is read, so only an item that waits reads it.
    return wait_ms === 0 ? end() : wait(wait_ms, undefined, { signal: context.signal }).then(end);
  },
});

/** FNV-1a of the text as a number in [0, 1): the same items fail on every run of a batch. */
function chanceOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  // The low bits of short texts differ little; mixing spreads them (murmur3's finaliser).
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 4_294_967_296;
}
