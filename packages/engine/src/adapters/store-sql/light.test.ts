import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';

/** What a module loads by itself: imports and exports that are more than types. */
const LOADS = /^(?:import|export)\s+(?!type\b)(?:[^;']*?\sfrom\s+)?'([^']+)'/gm;

/** The packages that a module and all it loads need, each with the module that names it. */
function packagesOf(file: string, found = new Map<string, string>(), seen = new Set<string>()) {
  if (seen.has(file)) return found;
  seen.add(file);
  for (const [, name = ''] of readFileSync(file, 'utf8').matchAll(LOADS)) {
    if (name.startsWith('.')) packagesOf(join(dirname(file), name), found, seen);
    else if (!name.startsWith('node:')) found.set(name, file);
  }
  return found;
}

// Each engine starts two such threads: with the schemas they would take half as long again to start.
test('the threads of the database load no schemas', () => {
  const entry = join(import.meta.dirname, 'store-thread.ts');
  expect([...packagesOf(entry).keys()].sort()).toEqual(['@sheaf/protocol/words', 'kysely']);
  const words = join(import.meta.dirname, '../../../../protocol/src/words.ts');
  expect([...packagesOf(words)]).toEqual([]);
});
