import { z } from 'zod';
import type { Processor, ProcessorDefinition } from './ports/processor.ts';

// The light way in (`@sheaf/engine/processor`): what a child imports to run an item, without the engine.
export type { Processor, ProcessorDefinition, WorkContext, WorkItem } from './ports/processor.ts';

/** Of processors that name none. */
const DEFAULT_POOL = 'default';

const GIB = 1_073_741_824;

/** The input schema of processors that take any JSON value: nothing to check. */
export const anyJson: z.ZodType = z.json();

/**
 * Makes a processor: a name and a `run`, and defaults for the rest.
 *
 * With `module: import.meta.url` it runs in child processes, which need to import it again: export
 * the processor from that module.
 *
 * @throws A TypeError when the name is not letters, digits, dots and dashes, the pool's not letters,
 *   digits and _, or `process` has no module.
 */
export function defineProcessor<Config = Record<string, never>, Input = unknown>(
  definition: ProcessorDefinition<Config, Input>,
): Processor<Config, Input> {
  if (!/^[a-z][a-z0-9_.-]{0,99}$/.test(definition.name)) {
    throw new TypeError(
      `The processor name "${definition.name}" must be lower case letters, digits, dots and dashes.`,
    );
  }
  if (definition.pool !== undefined && !/^[a-z_][a-z0-9_]{0,49}$/.test(definition.pool)) {
    throw new TypeError(
      `The pool "${definition.pool}" must be lower case letters, digits and _, at most 50.`,
    );
  }
  const module = definition.module ?? null;
  const isolation = definition.isolation ?? (module === null ? 'inline' : 'process');
  if (isolation === 'process' && module === null) {
    throw new TypeError(
      `The processor "${definition.name}" runs in child processes: give module: import.meta.url.`,
    );
  }
  return {
    name: definition.name,
    version: definition.version ?? '1.0.0',
    description: definition.description ?? '',
    isolation,
    idempotent: definition.idempotent ?? true,
    pool: definition.pool ?? DEFAULT_POOL,
    // The default schemas fit only the default type parameters, which TypeScript cannot see here.
    config: definition.config ?? (z.strictObject({}) as unknown as z.ZodType<Config>),
    input: definition.input ?? (anyJson as z.ZodType<Input>),
    module,
    max_memory_bytes: definition.max_memory_bytes ?? GIB,
    run: definition.run,
  };
}

/** A failure that no further attempt would mend: the item fails at once. */
export function permanent(message: string, code = 'permanent'): Error {
  return Object.assign(new Error(message), { code, permanent: true });
}

/** A failure that is worth another attempt, but not before this many milliseconds. */
export function retryAfter(ms: number, message = 'asked to wait', code = 'retry_after'): Error {
  return Object.assign(new Error(message), { code, retry_after_ms: ms });
}
