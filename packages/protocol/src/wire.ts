import { toIso } from './time.ts';

/** The form a value has on the wire: times (`…_at`, `at`) are ISO 8601 texts, all else is the same. */
export type Wire<T> = T extends readonly (infer E)[]
  ? Wire<E>[]
  : T extends object
    ? { [K in keyof T]: K extends `${string}_at` | 'at' ? WireTime<T[K]> : Wire<T[K]> }
    : T;

type WireTime<T> = T extends number ? string : T;

/** Fields that hold the caller's or the processor's own data: never looked into. */
const OPAQUE = new Set(['input', 'result', 'config', 'metadata', 'labels', 'external_ids', 'metrics']);

/** Turns the engine's times (milliseconds) into the wire's; everything else stays as it is. */
export function toWire<T>(value: T): Wire<T> {
  return convert(value, '') as Wire<T>;
}

function convert(value: unknown, key: string): unknown {
  if (typeof value === 'number') return key === 'at' || key.endsWith('_at') ? toIso(value) : value;
  if (Array.isArray(value)) return value.map((inner) => convert(inner, ''));
  if (typeof value !== 'object' || value === null || OPAQUE.has(key)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, convert(inner, name)]));
}
