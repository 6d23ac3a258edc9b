export { createSeededChance, type SeededChance } from './chance.ts';
export { storeContract } from './contracts/store.contract.ts';
export {
  type BatchFields,
  makeBatch,
  makeFile,
  makeItem,
  makeItems,
  makeOutcome,
  makeOutput,
  type OutcomeFields,
} from './factories.ts';
export { createFakeClock, type FakeClock } from './fake-clock.ts';
export {
  type LastingStore,
  openLastingStore,
  openMemoryStore,
  openTemporaryStore,
} from './temporary-store.ts';
