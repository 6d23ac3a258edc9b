export type { Caller, Engine, IncomingItem, RecoveryReport, Target } from './api.ts';
export { defineProcessor, permanent, retryAfter } from './define-processor.ts';
export { createEngine } from './engine.ts';
export type { EngineOptions } from './options.ts';
export type {
  Pack,
  PackRoute,
  PackTemplate,
  Processor,
  ProcessorDefinition,
  WorkContext,
  WorkItem,
} from './ports/processor.ts';
export type { PackRecord, Records } from './ports/records.ts';
