import { ERRORS, type ErrorCode, errorCode, SheafError } from '@sheaf/protocol';

/** Query values; those left undefined are not sent, lists are joined by commas. */
export type Query = Record<string, string | number | boolean | readonly string[] | undefined>;

export type Call = {
  query?: Query;
  /** Sent as JSON. */
  json?: unknown;
  /** Sent as it is; a stream is sent in pieces as it is read. */
  body?: FormData | ReadableStream<Uint8Array>;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
  /** @default 30000; 0 waits for ever, for uploads and downloads */
  timeout_ms?: number;
};

export type Request = (method: string, path: string, call?: Call) => Promise<Response>;

export type RequestOptions = {
  /** Address of the server, without `/api`. */
  url: string;
  /** Sent with each call. @default none */
  headers?: Record<string, string>;
  /** @default the global fetch */
  fetch?: typeof fetch;
};

/**
 * Makes the function all calls go through: it answers 2xx responses and throws everything else as a
 * `SheafError`, also a server that cannot be reached (`unreachable`).
 */
export function createRequest(options: RequestOptions): Request {
  const base = options.url.replace(/\/+$/, '');
  const send = options.fetch ?? globalThis.fetch;
  return async (method, path, call = {}) => {
    const signals = [call.signal, timeoutOf(call)].filter((signal) => signal !== undefined);
    const init: RequestInit & { duplex?: 'half' } = {
      method,
      headers: { accept: 'application/json', ...options.headers, ...call.headers },
      // Following a redirect would need the body a second time, and fetch keeps all of it in memory for
      // that: a 600 MB upload took 670 MB, with `error` 110 MB. The API does not redirect.
      redirect: 'error',
      signal: signals.length > 0 ? AbortSignal.any(signals) : null,
    };
    if (call.json !== undefined) {
      init.headers = { ...init.headers, 'content-type': 'application/json' };
      init.body = JSON.stringify(call.json);
    } else if (call.body !== undefined) {
      init.body = call.body;
      init.duplex = 'half';
    }
    const response = await answer(send(addressOf(base, path, call.query), init), base, call.signal);
    if (!response.ok) throw await problemOf(response);
    return response;
  };
}

function timeoutOf(call: Call): AbortSignal | undefined {
  const ms = call.timeout_ms ?? (call.body === undefined ? 30_000 : 0);
  return ms > 0 ? AbortSignal.timeout(ms) : undefined;
}

function addressOf(base: string, path: string, query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined || (Array.isArray(value) && value.length === 0)) continue;
    search.set(name, Array.isArray(value) ? value.join(',') : String(value));
  }
  return `${base}${path}${search.size > 0 ? `?${search}` : ''}`;
}

async function answer(
  sent: Promise<Response>,
  base: string,
  signal: AbortSignal | undefined,
): Promise<Response> {
  try {
    return await sent;
  } catch (error) {
    // The caller ended it: that is the caller's own reason, not a broken connection.
    if (signal?.aborted) throw signal.reason;
    throw new SheafError('unreachable', `cannot reach ${base} (${reasonOf(error)})`, { url: base }, error);
  }
}

/** Words for why a connection failed; fetch itself only says that it did. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'no answer';
  if (error.name === 'TimeoutError') return 'no answer in time';
  const { cause } = error;
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : '';
  const words: Record<string, string> = {
    ECONNREFUSED: 'connection refused',
    ECONNRESET: 'connection reset',
    UND_ERR_SOCKET: 'connection lost',
    ENOTFOUND: 'no such host',
    EAI_AGAIN: 'the host name could not be looked up',
    ETIMEDOUT: 'no answer in time',
    EHOSTUNREACH: 'no way to the host',
    CERT_HAS_EXPIRED: 'its certificate has expired',
    DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed',
  };
  if (words[code] !== undefined) return words[code];
  if (code !== '') return code;
  return cause instanceof Error ? cause.message : error.message;
}

/** The error an answer stands for: problem+json as the server threw it, anything else by its status. */
async function problemOf(response: Response): Promise<SheafError> {
  const text = await response.text().catch(() => '');
  const problem = parse(text);
  const { detail, title, code: _code, type: _type, status: _status, ...details } = problem;
  const message = [detail, title].find((part) => typeof part === 'string');
  const code = errorCode(problem) ?? codeOf(response.status);
  const said = message ?? `${response.status} ${response.statusText} from ${new URL(response.url).origin}`;
  return new SheafError(code, String(said), { ...details, status: response.status });
}

function parse(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

/** A code for an answer without one: from a proxy, or from a newer server. */
function codeOf(status: number): ErrorCode {
  if (status === 502 || status === 503 || status === 504) return 'unreachable';
  const known = Object.entries(ERRORS).find(([, error]) => error.status === status && status < 500);
  return known === undefined ? 'internal' : (known[0] as ErrorCode);
}
