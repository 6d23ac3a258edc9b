import type { Json } from '@sheaf/protocol';
import type { z } from 'zod';

/** The item as its processor sees it. */
export type WorkItem<Input = Json> = {
  batch_id: string;
  seq: number;
  name: string;
  key: string | null;
  input: Input;
  /** 1 for the first try. */
  attempt: number;
  /** The item's file, readable at `path`; null when the item is data only. The path is ours, never the name. */
  file: { path: string; name: string; bytes: number; sha256: string; media_type: string } | null;
};

/** What a processor may do beside returning its result. Nothing here waits. */
export type WorkContext<Config = Record<string, Json>> = {
  config: Config;
  /** Aborts at the item's timeout, at cancel and at pause(now). Stop soon: a child that goes on is killed. */
  signal: AbortSignal;
  /** Shows what the item is at: a step, and how much of it is done (0–100). */
  progress(step: string, percent?: number): void;
  /** Keeps a line for this attempt; at most 256 KiB an attempt are kept. */
  log(line: string): void;
  /** Reports a number; the batch shows its sum, mean, least and greatest. */
  metric(name: string, value: number): void;
  /**
   * The path to write an output file to. What stands there when `run` returns becomes the item's
   * output under this name; an attempt that fails leaves nothing.
   *
   * @throws When the name is not a plain file name.
   */
  output(name: string): string;
};

/** Code for one kind of work. Runs are at least once; results are recorded once. */
export type Processor<Config = unknown, Input = unknown> = {
  name: string;
  version: string;
  description: string;
  /**
   * `process` runs each item in a child process that can be killed: for native and user code.
   * `inline` runs in the server itself: for light code that is trusted and only waits.
   */
  isolation: 'inline' | 'process';
  /** Whether running an item twice does no harm; batches of others wait for review after a crash. */
  idempotent: boolean;
  /** The pool of a cluster whose workers run it. */
  pool: string;
  config: z.ZodType<Config>;
  input: z.ZodType<Input>;
  /** `import.meta.url` of the module that exports this processor; needed for `process`. */
  module: string | null;
  /** Resident memory at which a child running an item is killed (`out_of_memory`). */
  max_memory_bytes: number;
  run(item: WorkItem<Input>, context: WorkContext<Config>): Promise<unknown> | unknown;
};

/** What `defineProcessor` takes: the obligatory parts, and defaults for the rest. */
export type ProcessorDefinition<Config, Input> = {
  name: string;
  /** Semantic version; a running batch goes on with the same major only. @default '1.0.0' */
  version?: string;
  description?: string;
  /** @default 'process' when `module` is given, else 'inline' */
  isolation?: 'inline' | 'process';
  /** @default true */
  idempotent?: boolean;
  /**
   * The pool of a cluster whose workers run it, for machines that have what others have not (`gpu`).
   *
   * @default 'default'
   */
  pool?: string;
  /** Zod schema of the batch's config. @default an empty object */
  config?: z.ZodType<Config>;
  /** Zod schema of an item's input. @default any JSON value */
  input?: z.ZodType<Input>;
  module?: string;
  /** @default 1 GiB */
  max_memory_bytes?: number;
  run(item: WorkItem<Input>, context: WorkContext<Config>): Promise<unknown> | unknown;
};

/** A ready-made application, as plain data. */
export type Pack = {
  name: string;
  description: string;
  processors: readonly Processor[];
  templates: readonly PackTemplate[];
  /** Files that show the pack at work. */
  samples: readonly { path: string; name: string }[];
  /** Addresses its callers expect; served when the server's pack routes are there. */
  routes: readonly PackRoute[];
};

export type PackTemplate = {
  id: string;
  description: string;
  processor: string;
  config: Record<string, Json>;
};

export type PackRoute = {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  path: string;
  schema: z.ZodType;
  handle(request: unknown, engine: unknown): Promise<unknown>;
};
