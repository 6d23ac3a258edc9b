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
export { type CommandDefinition, defineCommand } from './processors/command/command.ts';
export { defineHttp, type HttpOptions } from './processors/http/http.ts';
export { loadModule } from './processors/module/load-module.ts';
