import type { Json } from './text.ts';

/** What the world may know of a processor. The schemas are JSON Schema 2020-12. */
export type ProcessorInfo = {
  name: string;
  version: string;
  description: string;
  isolation: 'inline' | 'process';
  idempotent: boolean;
  /** The pool of a cluster whose workers run it. */
  pool: string;
  config_schema: Json;
  input_schema: Json;
};

/** Saved choices for new batches: the caller's own fields win over them. */
export type Template = {
  id: string;
  description: string;
  processor: string;
  config: Record<string, Json>;
};
