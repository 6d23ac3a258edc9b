import { nearest, SheafError } from '@sheaf/protocol';

/** Named things that can be looked up, with a helpful answer for a name that is not there. */
export type Registry<T> = {
  find(name: string): T | undefined;
  /** @throws The given code, with the known names nearest to the wrong one. */
  get(name: string, problem: 'unknown_processor' | 'unknown_template', pointer: string): T;
  all(): T[];
};

/** @throws bad_config when two things have one name. */
export function createRegistry<T>(what: string, entries: Iterable<readonly [string, T]>): Registry<T> {
  const byName = new Map<string, T>();
  for (const [name, entry] of entries) {
    if (byName.has(name)) throw new SheafError('bad_config', `There are two ${what}s named ${name}.`);
    byName.set(name, entry);
  }
  return {
    find: (name) => byName.get(name),
    get(name, problem, pointer) {
      const found = byName.get(name);
      if (found !== undefined) return found;
      const shown = JSON.stringify(name.slice(0, 60));
      const near = nearest(name, [...byName.keys()]);
      const hint = near.length > 0 ? ` Did you mean ${near.join(' or ')}?` : '';
      const message = `There is no ${what} ${shown}.${hint}`;
      throw new SheafError(problem, message, { near, errors: [{ pointer, code: problem, message }] });
    },
    all: () => [...byName.values()],
  };
}
