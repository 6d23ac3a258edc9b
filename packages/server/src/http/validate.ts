import { type ErrorCode, type FieldError, nearest, SheafError } from '@sheaf/protocol';
import type { z } from 'zod';
import { pointer } from './json-pointer.ts';
import { MAX_FIELD_ERRORS, quote } from './problem.ts';

type Issue = z.core.$ZodIssue;

/**
 * Parses what a client sent; nothing is coerced.
 *
 * @throws invalid (or `code`) with a JSON pointer for each wrong field; invalid_name when names are
 *   all that is wrong.
 */
export function validate<T>(schema: z.ZodType<T>, value: unknown, code: ErrorCode = 'invalid'): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw invalid(fieldErrors(parsed.error.issues, schema), code);
}

/** One error for many wrong fields: lists the first hundred, counts all. */
export function invalid(
  errors: readonly FieldError[],
  code: ErrorCode = 'invalid',
  count = errors.length,
): SheafError {
  const only =
    code === 'invalid' && errors.every((error) => error.code === 'invalid_name') ? 'invalid_name' : code;
  const [first] = errors;
  const more = count > 1 ? ` (and ${count - 1} more)` : '';
  const message =
    first === undefined
      ? 'The request is not valid.'
      : `${first.pointer || 'The body'}: ${first.message}${more}`;
  return new SheafError(only, message, { errors: errors.slice(0, MAX_FIELD_ERRORS), error_count: count });
}

/** @param prefix The path of the value that was parsed, in the whole. */
export function fieldErrors(
  issues: readonly Issue[],
  schema: z.ZodType,
  prefix: readonly PropertyKey[] = [],
): FieldError[] {
  return issues.flatMap((issue) => {
    const path = [...prefix, ...issue.path];
    if (issue.code !== 'unrecognized_keys') return [{ pointer: pointer(path), ...describe(issue) }];
    const known = issue.path.length === 0 ? keysOf(schema) : [];
    return issue.keys.map((key) => ({
      pointer: pointer([...path, key]),
      code: 'unknown_field',
      message: unknownField(key, known),
    }));
  });
}

function unknownField(key: string, known: readonly string[]): string {
  // Only a short word can be a mistyped field name; comparing a long one costs time for nothing.
  const [best] = key.length <= 40 ? nearest(key, known, 1) : [];
  return `There is no field ${quote(key)}${best === undefined ? '.' : `; did you mean "${best}"?`}`;
}

function keysOf(schema: z.ZodType): string[] {
  return 'shape' in schema && typeof schema.shape === 'object' && schema.shape !== null
    ? Object.keys(schema.shape)
    : [];
}

function describe(issue: Issue): { code: string; message: string } {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined && issue.message.endsWith('received undefined')
        ? { code: 'required', message: 'The field is missing.' }
        : { code: 'wrong_type', message: issue.message };
    case 'too_big':
    case 'too_small':
      return { code: 'out_of_range', message: issue.message };
    case 'custom':
      return {
        code: typeof issue.params?.code === 'string' ? issue.params.code : 'invalid',
        message: issue.message,
      };
    default:
      return { code: 'invalid', message: issue.message };
  }
}
