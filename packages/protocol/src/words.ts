// The light way in (`@sheaf/protocol/words`): all but the schemas, for threads that check nothing and
// start often. Of what lies beside schemas there are the types.
export type * from './batch.ts';
export * from './errors.ts';
export type * from './event.ts';
export * from './fingerprint.ts';
export * from './ids.ts';
export type * from './item.ts';
export * from './limits.ts';
export * from './naming.ts';
export type * from './policies.ts';
export type * from './processor-info.ts';
export * from './progress.ts';
export * from './states.ts';
export type * from './text.ts';
export * from './time.ts';
export * from './wire.ts';
