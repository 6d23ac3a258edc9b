import { ERRORS, type ErrorCode, errorCode, SheafError } from '@sheaf/protocol';
import { type Context, SCHEMA } from './context.ts';
import { clean } from './view/clean.ts';

/** A problem of the command itself, with what to do about it. */
export function failure(
  code: ErrorCode,
  message: string,
  hint?: string,
  details: Record<string, unknown> = {},
): SheafError {
  return new SheafError(code, message, { ...details, ...(hint !== undefined && { hint }) });
}

/** Prints an error to stderr, for people or with `--json` for programs, and answers its exit code. */
export function report(context: Context, error: unknown): number {
  const code = errorCode(error) ?? 'internal';
  const { exit } = ERRORS[code];
  const message = error instanceof Error ? error.message : String(error);
  // Read by name and not by class: the error may come from another copy of the package.
  const details = error instanceof Error && 'details' in error ? Object(error.details) : {};
  if (context.output !== 'text') {
    const { hint: _hint, ...rest } = details;
    const problem = {
      title: ERRORS[code].means,
      detail: message,
      code,
      exit,
      hint: hintOf(code, details),
      ...rest,
    };
    context.terminal.err(JSON.stringify({ schema: SCHEMA, ...problem }));
    return exit;
  }
  const { terminal } = context;
  terminal.err(`${terminal.paintErr('red', 'error:')} ${clean(message)}`);
  for (const line of fieldLines(details)) terminal.err(`  ${clean(line)}`);
  const hint = hintOf(code, details);
  if (hint !== null) terminal.err(`${terminal.paintErr('amber', 'hint:')} ${clean(hint)}`);
  if (context.debug) {
    if (details.request_id !== undefined) terminal.err(`request ${clean(String(details.request_id))}`);
    if (error instanceof Error) terminal.err(stackOf(error));
  }
  return exit;
}

/** The wrong fields of an answer, where they say more than the message does. */
function fieldLines(details: Record<string, unknown>): string[] {
  const errors = Array.isArray(details.errors) ? details.errors : [];
  if (errors.length < 2) return [];
  return errors.slice(0, 10).map((error) => `${error?.pointer ?? ''}: ${error?.message ?? ''}`);
}

function hintOf(code: ErrorCode, details: Record<string, unknown>): string | null {
  if (typeof details.hint === 'string') return details.hint;
  const near = Array.isArray(details.near) ? details.near : [];
  if (near.length > 0) return `did you mean ${near.join(', ')}?`;
  if (code === 'wrong_status' && Array.isArray(details.allowed_actions)) {
    const allowed = details.allowed_actions.join(', ');
    return allowed === '' ? null : `it is ${String(details.current_status)}; possible now: ${allowed}`;
  }
  return HINTS[code] ?? null;
}

const HINTS: Partial<Record<ErrorCode, string>> = {
  not_found: 'sheaf list --all shows every batch',
  unreachable: 'start it with  sheaf up',
  unknown_processor: 'sheaf processor list',
  unknown_template: 'sheaf template list',
  storage_full: 'make room on the disk; paused work goes on by itself',
  storage_failed: 'see what the disk says (dmesg), then start again: nothing that was acknowledged is lost',
  wait_timeout: 'the batch goes on; wait again, or  sheaf status @last -w',
  not_idempotent: 'running items would run a second time; drain instead (without --now)',
};

function stackOf(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${stackOf(error.cause)}` : '';
  return `${error.stack ?? error.message}${cause}`;
}
