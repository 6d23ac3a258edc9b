import { ERRORS, type ErrorCode, errorCode, type FieldError, SheafError } from '@sheaf/protocol';

/** No answer repeats more than this much of what a client sent. */
const MAX_ECHO = 200;

/** The most wrong fields one answer lists; `error_count` says how many there are. */
export const MAX_FIELD_ERRORS = 100;

/** What every error answer is: RFC 9457 with our code, the request's id and the wrong fields. */
export type Problem = {
  type: string;
  title: string;
  status: number;
  detail: string;
  instance: string;
  code: ErrorCode;
  request_id: string;
  errors?: FieldError[];
  /** Other values behind the error: `current_status`, `allowed_actions`, `accepted`, `line` … */
  [detail: string]: unknown;
};

/** The words of the frame itself, which the details of an error never replace. */
const RESERVED = new Set(['type', 'title', 'status', 'detail', 'instance', 'code', 'request_id']);

/** Turns whatever was thrown into an answer. What is not an error of the table is `internal`. */
export function problemOf(error: unknown, request: { id: string; path: string }): Problem {
  const code = codeOf(error);
  const { status, means } = ERRORS[code];
  return {
    type: `/docs/errors#${code}`,
    title: means,
    status,
    detail: detailOf(error, code),
    instance: clip(request.path),
    code,
    request_id: request.id,
    ...detailsOf(error, code),
  };
}

/** What Fastify and its plugins throw, in our words. */
const FOREIGN: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'malformed_json',
  FST_ERR_CTP_INVALID_JSON_BODY: 'malformed_json',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'malformed_json',
  FST_ERR_BAD_URL: 'not_found',
  FST_ERR_NOT_FOUND: 'not_found',
  FST_ERR_MAX_PARAM_LENGTH: 'not_found',
  FST_ERR_HANDLER_TIMEOUT: 'store_unavailable',
  FST_PARTS_LIMIT: 'malformed_multipart',
  FST_FILES_LIMIT: 'malformed_multipart',
  FST_FIELDS_LIMIT: 'malformed_multipart',
  FST_REQ_FILE_TOO_LARGE: 'too_large',
  FST_PROTO_VIOLATION: 'forbidden_key',
  FST_INVALID_JSON_FIELD_ERROR: 'malformed_multipart',
  FST_MP_PREMATURE_CLOSE: 'malformed_multipart',
};

export function codeOf(error: unknown): ErrorCode {
  const own = errorCode(error);
  if (own !== undefined) return own;
  if (typeof error !== 'object' || error === null || !('code' in error)) return 'internal';
  return (
    (typeof error.code === 'string' && Object.hasOwn(FOREIGN, error.code) && FOREIGN[error.code]) ||
    'internal'
  );
}

function detailOf(error: unknown, code: ErrorCode): string {
  const { status, means } = ERRORS[code];
  // One body for what is not there, is badly written, or belongs to somebody else.
  if (code === 'not_found' || status === 500) return means;
  return error instanceof Error && errorCode(error) !== undefined ? clipQuotes(error.message) : means;
}

function detailsOf(error: unknown, code: ErrorCode): Record<string, unknown> {
  if (code === 'not_found' || ERRORS[code].status === 500) return {};
  const { details } = error as Partial<SheafError>; // of any copy of the class, so not by instanceof
  const kept = Object.entries(details ?? {}).filter(([name]) => !RESERVED.has(name));
  return Object.fromEntries(kept.map(([name, value]) => [name, clipDeep(value, 4)]));
}

function clipDeep(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return clip(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth === 0) return null;
  if (Array.isArray(value))
    return value.slice(0, MAX_FIELD_ERRORS).map((inner) => clipDeep(inner, depth - 1));
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [clip(name), clipDeep(inner, depth - 1)]),
  );
}

function clip(text: string): string {
  return text.length <= MAX_ECHO ? text : `${text.slice(0, MAX_ECHO - 1)}…`;
}

/** Shortens what a message quotes, and a message that is nothing but an endless word. */
function clipQuotes(message: string): string {
  const short = message.replace(/"[^"]{200,}"|\S{200,}/g, (long) => clip(long));
  return short.length <= 1_000 ? short : `${short.slice(0, 999)}…`;
}

/** A text of the client's, safe to put into a message. */
export function quote(text: string): string {
  const visible = text.toWellFormed().replace(/\p{C}/gu, '\ufffd');
  return `"${visible.length <= 60 ? visible : `${visible.slice(0, 59)}…`}"`;
}

/** A 404, the same for every reason. */
export function notFound(): SheafError {
  return new SheafError('not_found', ERRORS.not_found.means);
}
