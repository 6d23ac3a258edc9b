import { describe } from 'vitest';
import type { Store } from '../../ports/store.ts';
import { actionCases } from './store/actions.ts';
import { blobCases } from './store/blobs.ts';
import { controlCases } from './store/control.ts';
import { intakeCases } from './store/intake.ts';
import { leasingCases } from './store/leasing.ts';
import { limitCases } from './store/limits.ts';
import { mergeCases } from './store/merging.ts';
import { rateCases } from './store/rates.ts';
import { readingCases } from './store/reading.ts';
import { recordingCases } from './store/recording.ts';
import { recoveryCases } from './store/recovery.ts';
import { retryCases } from './store/retry.ts';
import { scatteredCases } from './store/scattered.ts';
import { storeTest } from './store/scene.ts';
import { slotCases } from './store/slots.ts';
import { spaceCases } from './store/spaces.ts';
import { workerCases } from './store/workers.ts';

/**
 * Everything a Store promises, for every adapter. Each case gets a store of its own and ends with
 * `checkInvariants()`; none waits or looks at a real clock.
 *
 * @param open Opens an empty store; its `close` also removes what it left behind.
 */
export function storeContract(name: string, open: () => Promise<Store>): void {
  const test = storeTest(open);
  describe(`Store: ${name}`, () => {
    describe('intake', () => intakeCases(test));
    describe('actions', () => actionCases(test));
    describe('control', () => controlCases(test));
    describe('leasing', () => leasingCases(test));
    describe('recording', () => recordingCases(test));
    describe('slots', () => slotCases(test));
    describe('retry', () => retryCases(test));
    describe('retry of scattered items', () => scatteredCases(test));
    describe('canary and failure budget', () => limitCases(test));
    describe('rate limit', () => rateCases(test));
    describe('recovery', () => recoveryCases(test));
    describe('workers', () => workerCases(test));
    describe('merging', () => mergeCases(test));
    describe('reading', () => readingCases(test));
    describe('spaces, files and records', () => spaceCases(test));
    describe('bytes that nothing names', () => blobCases(test));
  });
}
