import { type FieldError, SheafError } from '@sheaf/protocol';
import type { z } from 'zod';

/** Wrong fields named in one answer; more are counted. */
const MAX_ERRORS = 100;

/**
 * Checks a value against its schema.
 *
 * @param pointer Where the value stands in the caller's document.
 * @throws invalid, naming each wrong field by JSON pointer (RFC 6901); too_deep.
 */
export function check<T>(schema: z.ZodType<T>, value: unknown, pointer = ''): T {
  const result = parse(schema, value, pointer);
  if (result.success) return result.data;
  throw invalid(fieldErrors(result.error, pointer));
}

function parse<T>(schema: z.ZodType<T>, value: unknown, pointer: string): z.ZodSafeParseResult<T> {
  try {
    return schema.safeParse(value);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    // The walk down has no end: thousands of levels, or a value that holds itself.
    const message = 'The value is nested too deep, or holds itself.';
    throw new SheafError('too_deep', `${pointer === '' ? '' : `${pointer}: `}${message}`, {
      errors: [{ pointer, code: 'too_deep', message }],
    });
  }
}

/** The problem that wrong fields make; names that cannot be names have a code of their own. */
export function invalid(errors: readonly FieldError[], count = errors.length): SheafError {
  const [first] = errors;
  const more = count > 1 ? ` (and ${count - 1} more)` : '';
  const where = first === undefined || first.pointer === '' ? '' : `${first.pointer}: `;
  const code = errors.every((error) => error.code === 'invalid_name') ? 'invalid_name' : 'invalid';
  return new SheafError(code, `${where}${first?.message ?? 'Something is wrong.'}${more}`, {
    errors: errors.slice(0, MAX_ERRORS),
    error_count: count,
  });
}

/** Zod's issues as ours. Unknown keys are told one by one, each at its own place. */
function fieldErrors(error: z.ZodError, pointer: string): FieldError[] {
  return error.issues.flatMap((issue): FieldError[] => {
    const path = issue.path.map((step) => `/${escapeStep(String(step))}`).join('');
    const at = `${pointer}${path}`;
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({
        pointer: `${at}/${escapeStep(key)}`.slice(0, 200),
        code: 'unknown_field',
        message: `The field ${JSON.stringify(key.slice(0, 60))} is not known.`,
      }));
    }
    const own = issue.code === 'custom' ? issue.params?.code : undefined;
    const code = typeof own === 'string' ? own : 'invalid';
    return [{ pointer: at.slice(0, 200), code, message: issue.message.slice(0, 200) }];
  });
}

function escapeStep(step: string): string {
  return step.replaceAll('~', '~0').replaceAll('/', '~1');
}
