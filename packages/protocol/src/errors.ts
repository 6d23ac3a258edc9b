/**
 * Every problem a call can meet: its HTTP status, the exit code of the command line, whether the
 * same call may succeed later, and what it means. `docs/errors.md` is drawn from this table.
 */
export const ERRORS = {
  bad_request: { status: 400, exit: 2, retryable: false, means: 'The request is not HTTP as it should be.' },
  malformed_json: { status: 400, exit: 2, retryable: false, means: 'The body is not JSON.' },
  malformed_multipart: { status: 400, exit: 2, retryable: false, means: 'The multipart body is broken.' },
  forbidden_key: {
    status: 400,
    exit: 2,
    retryable: false,
    means: 'A key such as `__proto__` is not accepted.',
  },
  bad_idempotency_key: {
    status: 400,
    exit: 2,
    retryable: false,
    means: 'An Idempotency-Key is 1–255 ASCII characters.',
  },
  invalid_cursor: {
    status: 400,
    exit: 2,
    retryable: false,
    means: 'The cursor was not made by this server.',
  },
  usage: { status: 400, exit: 2, retryable: false, means: 'The command line was not understood.' },
  bad_origin: {
    status: 403,
    exit: 7,
    retryable: false,
    means: 'The Origin header names a page that may not call this server.',
  },
  not_found: { status: 404, exit: 6, retryable: false, means: 'Nothing with that id exists in this space.' },
  no_input: { status: 404, exit: 66, retryable: false, means: 'The paths or patterns match no file.' },
  method_not_allowed: {
    status: 405,
    exit: 2,
    retryable: false,
    means: 'The address exists, but not with this method.',
  },
  not_acceptable: {
    status: 406,
    exit: 2,
    retryable: false,
    means: 'No answer in a form the Accept header allows.',
  },
  request_timeout: {
    status: 408,
    exit: 8,
    retryable: true,
    means: 'The request did not arrive, or was not answered, in time.',
  },
  wrong_status: {
    status: 409,
    exit: 9,
    retryable: false,
    means: 'The batch or item is in a state that does not allow the action.',
  },
  in_flight: {
    status: 409,
    exit: 9,
    retryable: true,
    means: 'A call with the same Idempotency-Key is still being answered.',
  },
  lease_lost: { status: 409, exit: 9, retryable: false, means: 'Another worker has the items now.' },
  not_idempotent: {
    status: 409,
    exit: 9,
    retryable: false,
    means: 'Stopping now would run items twice whose processor is not idempotent.',
  },
  too_large: {
    status: 413,
    exit: 11,
    retryable: false,
    means: 'The body or a part of it is over the limit.',
  },
  unsupported_media_type: {
    status: 415,
    exit: 2,
    retryable: false,
    means: 'The Content-Type is missing or not one this address takes.',
  },
  range_not_satisfiable: {
    status: 416,
    exit: 2,
    retryable: false,
    means: 'The asked range lies outside the file.',
  },
  bad_host: {
    status: 421,
    exit: 7,
    retryable: false,
    means: 'The Host header is not a name of this server.',
  },
  invalid: {
    status: 422,
    exit: 2,
    retryable: false,
    means: 'A field is unknown, missing or has a wrong value.',
  },
  invalid_name: { status: 422, exit: 2, retryable: false, means: 'A name is 1–255 printable characters.' },
  invalid_query: { status: 422, exit: 2, retryable: false, means: 'A query parameter has a wrong value.' },
  too_deep: {
    status: 422,
    exit: 2,
    retryable: false,
    means: 'JSON is nested deeper than 32 or has too many keys.',
  },
  too_many_items: { status: 422, exit: 11, retryable: false, means: 'A batch has at most 10,000,000 items.' },
  unknown_processor: { status: 422, exit: 2, retryable: false, means: 'No such processor is installed.' },
  unknown_template: { status: 422, exit: 2, retryable: false, means: 'No such template exists.' },
  key_reused: {
    status: 422,
    exit: 2,
    retryable: false,
    means: 'The Idempotency-Key was used with another body.',
  },
  bad_manifest: {
    status: 422,
    exit: 2,
    retryable: false,
    means: 'A line of the manifest or NDJSON body is broken.',
  },
  headers_too_large: { status: 431, exit: 11, retryable: false, means: 'The headers are over 16 KiB.' },
  internal: {
    status: 500,
    exit: 1,
    retryable: false,
    means: 'A mistake of ours; the request id finds it in the log.',
  },
  store_unavailable: {
    status: 503,
    exit: 8,
    retryable: true,
    means: 'The database or the bucket of the files does not answer.',
  },
  bytes_doomed: {
    status: 503,
    exit: 8,
    retryable: true,
    means: 'Equal bytes that nothing named were just being removed; send them again.',
  },
  shutting_down: {
    status: 503,
    exit: 8,
    retryable: true,
    means: 'The server is going down; running items finish.',
  },
  unreachable: { status: 503, exit: 8, retryable: true, means: 'No server answers at the address.' },
  wait_timeout: { status: 504, exit: 10, retryable: true, means: 'The wait ended first; the batch goes on.' },
  storage_full: {
    status: 507,
    exit: 11,
    retryable: true,
    means: 'The disk is full. Work pauses and goes on by itself when there is room.',
  },
  storage_failed: {
    status: 500,
    exit: 74,
    retryable: false,
    means: 'The disk failed to keep a write; the server stops rather than lose data.',
  },
  already_running: {
    status: 409,
    exit: 9,
    retryable: false,
    means: 'Another server works on this data folder.',
  },
  bad_config: {
    status: 500,
    exit: 78,
    retryable: false,
    means: 'A setting is wrong; the message says where and how to fix it.',
  },
  dependency_missing: {
    status: 500,
    exit: 78,
    retryable: false,
    means: 'An optional package is not installed.',
  },
} as const satisfies Record<string, { status: number; exit: number; retryable: boolean; means: string }>;

export type ErrorCode = keyof typeof ERRORS;

/** One wrong field: a JSON pointer to it, what is wrong, and the code of the kind of mistake. */
export type FieldError = { pointer: string; code: string; message: string };

/**
 * The only error that crosses a boundary. Callers branch on `code`, never on the message and never
 * on `instanceof` (two copies of a package must still agree).
 */
export class SheafError extends Error {
  readonly code: ErrorCode;
  readonly details: Record<string, unknown>;

  /**
   * @param message What happened, with which value, and what to do.
   * @param details The values behind the message; `errors` holds the wrong fields of `invalid`.
   */
  constructor(code: ErrorCode, message: string, details: Record<string, unknown> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'SheafError';
    this.code = code;
    this.details = details;
  }
}

/** The code of an error thrown by Sheaf, by any copy of this package; undefined for anything else. */
export function errorCode(error: unknown): ErrorCode | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  const { code } = error;
  return typeof code === 'string' && Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : undefined;
}

/** The known words nearest to a mistyped one, best first, for "did you mean". */
export function nearest(word: string, known: readonly string[], limit = 3): string[] {
  return known
    .map((candidate) => ({ candidate, distance: editDistance(word.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ candidate, distance }) => distance <= Math.max(2, candidate.length / 3))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, limit)
    .map(({ candidate }) => candidate);
}

/** Levenshtein distance, one row at a time (V. I. Levenshtein, 1966). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const swap = (row[j] ?? 0) + (letter === b[j] ? 0 : 1);
      next.push(Math.min(swap, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
