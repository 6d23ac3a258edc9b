import { errorCode, SheafError, type StoredEvent } from '@sheaf/protocol/words';
import type { Store } from '../../ports/store.ts';

export type Call = { id: number; method: Exclude<keyof Store, 'onEvents'>; args: unknown[] };

export type PlainError = {
  code: string | null;
  message: string;
  details: Record<string, unknown>;
  stack: string;
};

export type Reply =
  | { kind: 'ready' }
  | { kind: 'broken'; error: PlainError }
  | { kind: 'done'; id: number; result: unknown }
  | { kind: 'failed'; id: number; error: PlainError }
  | { kind: 'events'; space: string; events: StoredEvent[] };

/** Errors lose their class between threads; ours keep their code. */
export function toPlainError(error: unknown): PlainError {
  const { message, stack = '' } = error instanceof Error ? error : new Error(String(error));
  const details = error instanceof SheafError ? error.details : {};
  return { code: errorCode(error) ?? null, message, details, stack };
}

export function fromPlainError({ code, message, details, stack }: PlainError): Error {
  const known = errorCode({ code });
  const error = known === undefined ? new Error(message) : new SheafError(known, message, details);
  error.stack = stack;
  return error;
}
