import { SheafError } from '@sheaf/protocol';

/** See "PostgreSQL Error Codes" in its manual. */
const DEADLOCK = '40P01';
const SERIALIZATION = '40001';
const DISK_FULL = '53100';
const STALE_PLAN = '0A000';

/** Classes and codes that pass by themselves: connections, resources, an operator, a lock. */
const PASSING = ['08', '53', '57', '40', '55P03', '25006', '25P03', '58', STALE_PLAN];
const DAMAGED = ['XX001', 'XX002'];

/** A wrong password, user or database. */
const REFUSED = ['28', '3D', '42501'];

const NETWORK = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
]);

/** The driver has no codes of its own. */
const LOST_CONNECTION =
  /connection terminated|timeout exceeded|client has encountered|not queryable|discarded/i;

/** Two transactions got in each other's way; the same again goes well. */
export function isConflict(error: unknown): boolean {
  const code = codeOf(error);
  return code === DEADLOCK || code === SERIALIZATION || isStalePlan(error);
}

/** Somebody migrated the schema under a statement that was prepared before. */
function isStalePlan(error: unknown): boolean {
  return codeOf(error) === STALE_PLAN && error instanceof Error && error.message.includes('cached plan');
}

export function isRefused(error: unknown): boolean {
  return startsWithOneOf(codeOf(error), REFUSED);
}

/** An error of PostgreSQL or of the way to it, in our words; anything else comes back as it is. */
export function toProblem(error: unknown): unknown {
  if (error instanceof SheafError) return error;
  const code = codeOf(error);
  const what = error instanceof Error ? error.message : String(error);
  if (code === DISK_FULL) {
    return new SheafError(
      'storage_full',
      'The disk of the database is full; make room and work goes on by itself.',
      {},
      error,
    );
  }
  if (startsWithOneOf(code, DAMAGED)) {
    return new SheafError('storage_failed', `The database is damaged: ${what}.`, {}, error);
  }
  const isLost = NETWORK.has(code) || (code === '' && LOST_CONNECTION.test(what));
  if (isLost || isRefused(error) || startsWithOneOf(code, PASSING)) {
    return new SheafError('store_unavailable', `PostgreSQL does not answer just now: ${what}.`, {}, error);
  }
  return error;
}

function startsWithOneOf(code: string, beginnings: readonly string[]): boolean {
  return code !== '' && beginnings.some((beginning) => code.startsWith(beginning));
}

function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return '';
  return typeof error.code === 'string' ? error.code : '';
}
