import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Processor } from '@sheaf/engine';
import { failure } from './failure.ts';

/** Whether a word names a file with processors rather than a processor. */
export function isProcessorFile(word: string): boolean {
  return /\.(?:m?ts|m?js)(?:#.*)?$/.test(word);
}

/**
 * The processor a file exports, as `./double.ts` or, when it exports several, `./all.ts#double`. What
 * is exported may be made by `defineProcessor` or be a plain object with `name` and `run`.
 *
 * @throws no_input when there is no such file; usage when it exports no processor, or too many.
 */
export async function loadProcessor(word: string): Promise<Processor> {
  const [path = '', wanted] = word.split('#');
  const processors = await loadProcessors(path);
  if (wanted !== undefined) {
    const named = processors.find(({ name }) => name === wanted);
    if (named !== undefined) return named;
    throw failure('usage', `${path} exports no processor "${wanted}"`, `it has: ${namesOf(processors)}`);
  }
  const [only] = processors;
  if (only === undefined || processors.length > 1) {
    throw failure(
      'usage',
      `${path} exports ${processors.length} processors: ${namesOf(processors)}`,
      `name one:  ${path}#${only?.name}`,
    );
  }
  return only;
}

/** Every processor a file exports. @throws no_input, usage */
export async function loadProcessors(path: string): Promise<Processor[]> {
  const file = resolve(path);
  if (!existsSync(file)) throw failure('no_input', `there is no file ${path}`);
  const exported = await load(path, file);
  const { defineProcessor } = await import('@sheaf/engine');
  const processors = Object.values(exported)
    .filter(isDefinition)
    // Made already by defineProcessor, maybe of another copy of the engine: then it has all parts.
    .map((value) => (isProcessor(value) ? value : defineProcessor(value)));
  if (processors.length > 0) return processors;
  throw failure(
    'usage',
    `${path} exports no processor`,
    'export one:  export const double = { name: "double", run: (item) => item.input * 2 };',
  );
}

async function load(path: string, file: string): Promise<Record<string, unknown>> {
  try {
    return (await import(pathToFileURL(file).href)) as Record<string, unknown>;
  } catch (error) {
    throw failure(
      'usage',
      `cannot load ${path}: ${error instanceof Error ? error.message : String(error)}`,
      '--debug shows where',
      { cause: error },
    );
  }
}

type Definition = { name: string; run: Processor['run'] };

function isDefinition(value: unknown): value is Definition {
  if (typeof value !== 'object' || value === null || !('name' in value) || !('run' in value)) return false;
  return typeof value.name === 'string' && typeof value.run === 'function';
}

function isProcessor(value: Definition): value is Processor {
  return ['version', 'isolation', 'config', 'input', 'max_memory_bytes'].every((part) => part in value);
}

function namesOf(processors: readonly Processor[]): string {
  return processors.map(({ name }) => name).join(', ');
}
