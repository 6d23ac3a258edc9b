import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { SheafError } from '@sheaf/protocol';
import { defineProcessor } from '../../define-processor.ts';
import type { Processor, ProcessorDefinition } from '../../ports/processor.ts';

/**
 * Imports a user's module and answers the processors it exports, made with `defineProcessor` or
 * written as plain objects with `name` and `run`.
 *
 * Plain objects run in child processes, and so do those made with `module: import.meta.url`; one made
 * without stays `inline`. Importing runs the module in this process, once.
 *
 * @param module A path, from the current folder, or a file URL.
 * @throws bad_config naming the file and what to change.
 */
export async function loadModule(module: string | URL): Promise<Processor[]> {
  const url =
    module instanceof URL || module.startsWith('file:') ? new URL(module) : pathToFileURL(resolve(module));
  const file = fileURLToPath(url);
  if (!existsSync(file)) throw bad(file, 'does not exist; check the path');
  const exported = await importModule(url, file);
  const processors = Object.entries(exported).flatMap(([name, value]) => {
    return isDefinition(value) ? [toProcessor(value, url.href, `${file} (export ${name})`)] : [];
  });
  // The same object under two names, as `export default` next to a named export.
  const unique = [...new Map(processors.map((processor) => [processor.name, processor])).values()];
  if (unique.length === 0) {
    throw bad(
      file,
      "exports no processor; write: export const shout = defineProcessor({ name: 'shout', run: … })",
    );
  }
  return unique;
}

async function importModule(url: URL, file: string): Promise<Record<string, unknown>> {
  try {
    return await import(url.href);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    const message = error instanceof Error ? error.message : String(error);
    throw bad(file, `cannot be imported: ${message}${remedyFor(code)}`, error);
  }
}

function remedyFor(code: string): string {
  if (code === 'ERR_MODULE_NOT_FOUND')
    return ' (imports need their file ending, and packages must be installed)';
  if (code === 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX')
    return ' (enums, namespaces and parameter properties need a build step)';
  if (code === 'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING')
    return ' (TypeScript below node_modules must be built to JavaScript)';
  return '';
}

function toProcessor(value: ProcessorDefinition<unknown, unknown>, url: string, where: string): Processor {
  if (isMade(value)) return { ...value, module: value.module ?? url };
  try {
    return defineProcessor({ module: url, ...value });
  } catch (error) {
    throw bad(where, `is no processor: ${error instanceof Error ? error.message : String(error)}`, error);
  }
}

/** Whether `defineProcessor` has filled in everything already. */
function isMade(value: object): value is Processor {
  const fields = [
    'version',
    'description',
    'isolation',
    'idempotent',
    'config',
    'input',
    'module',
    'max_memory_bytes',
  ];
  return fields.every((field) => field in value);
}

function isDefinition(value: unknown): value is ProcessorDefinition<unknown, unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    'name' in value &&
    typeof value.name === 'string' &&
    'run' in value &&
    typeof value.run === 'function'
  );
}

function bad(file: string, problem: string, cause?: unknown): SheafError {
  return new SheafError('bad_config', `The module ${file} ${problem}.`, { file }, cause);
}
