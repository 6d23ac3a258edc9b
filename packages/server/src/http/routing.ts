import { SheafError } from '@sheaf/protocol';
import type { FastifyInstance } from 'fastify';
import { notFound } from './problem.ts';

/**
 * Tells an address that does not exist (404) from one that does with another method (405), which
 * Fastify's router does not. Create it before the routes: it learns them as they are added.
 */
export function createAddressBook(app: FastifyInstance): {
  refuse: (url: string) => { error: SheafError; allow: string[] };
} {
  const addresses = new Map<string, { pattern: RegExp; methods: Set<string> }>();
  app.addHook('onRoute', ({ url, method }) => {
    const entry = addresses.get(url) ?? { pattern: patternOf(url), methods: new Set<string>() };
    for (const one of Array.isArray(method) ? method : [method]) entry.methods.add(one);
    addresses.set(url, entry);
  });
  return {
    refuse(url) {
      const path = url.split('?', 1)[0] ?? '';
      const allow = [...addresses.values()]
        .filter(({ pattern }) => pattern.test(path))
        .flatMap(({ methods }) => [...methods]);
      if (allow.length === 0) return { error: notFound(), allow };
      const methods = [...new Set(allow)].sort();
      const error = new SheafError('method_not_allowed', `This address answers ${methods.join(', ')}.`);
      return { error, allow: methods };
    },
  };
}

function patternOf(url: string): RegExp {
  const escaped = url.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${escaped.replace(/:\w+/g, '[^/]+')}$`);
}
