export { createSeededChance, type SeededChance } from './chance.ts';
export { type CheckedStore, createCheckedStore } from './checked-store.ts';
export { dispatchContract } from './contracts/dispatch.contract.ts';
export { eventsContract } from './contracts/events.contract.ts';
export { filesContract } from './contracts/files.contract.ts';
export { type ProcessorSample, processorContract } from './contracts/processor.contract.ts';
export { runnerContract } from './contracts/runner.contract.ts';
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
export { type Fate, type PostgresProxy, startPostgresProxy } from './postgres-proxy.ts';
export { openTemporaryBucket, type TemporaryBucket } from './temporary-bucket.ts';
export { describePostgres, type TemporaryPostgres } from './temporary-postgres.ts';
export {
  type LastingStore,
  openLastingStore,
  openMemoryStore,
  openTemporaryStore,
} from './temporary-store.ts';
export { until } from './until.ts';
