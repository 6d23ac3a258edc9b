import { resolve } from 'node:path';
import type { ReadStream, WriteStream } from 'node:tty';
import { clean } from './view/clean.ts';
import { type ColorMode, openTerminal, type ProgressMode, type Terminal } from './view/terminal.ts';

/** The options every command takes, as they were given. */
export type Globals = {
  data?: string;
  dataDir?: string;
  config?: string;
  server?: string;
  json?: boolean;
  jsonl?: boolean;
  progress?: ProgressMode;
  color?: ColorMode;
  quiet?: boolean;
  yes?: boolean;
  debug?: boolean;
};

/** What a command works with: where the batches are, and how to speak. */
export type Context = {
  terminal: Terminal;
  /** Absolute path of the data folder, which need not exist; empty with a named server. */
  data_dir: string;
  /** The cluster whose batches are meant, when there is one: its database, and where its bytes lie. */
  cluster: { database: string; files: string | null } | null;
  /** The server to talk to, when one was named. */
  server: string | null;
  output: 'text' | 'json' | 'jsonl';
  progress: 'live' | 'plain' | 'none';
  quiet: boolean;
  yes: boolean;
  debug: boolean;
};

/** Settles how to speak: flags weigh more than the environment. Where the data is, `settle` finds out. */
export function createContext(
  globals: Globals,
  env: NodeJS.ProcessEnv = process.env,
  streams: { stdin: ReadStream; stdout: WriteStream; stderr: WriteStream } = process,
): Context {
  const output = globals.jsonl ? 'jsonl' : globals.json ? 'json' : 'text';
  const quiet = globals.quiet === true || globals.progress === 'quiet';
  const terminal = openTerminal(streams, env, {
    progress: globals.progress ?? 'auto',
    color: globals.color ?? 'auto',
  });
  return {
    terminal,
    data_dir: '',
    cluster: null,
    server: globals.server ?? (env.SHEAF_SERVER || null),
    output,
    progress: quiet || output !== 'text' ? 'none' : terminal.isLive ? 'live' : 'plain',
    quiet,
    yes: globals.yes === true,
    debug: globals.debug === true,
  };
}

/**
 * Finds the data folder and the cluster, as the server would: flag, environment, configuration file, default.
 *
 * @throws bad_config when a setting is wrong or the folder cannot be used.
 */
export async function settle(
  context: Context,
  globals: Globals,
  env: NodeJS.ProcessEnv = process.env,
): Promise<void> {
  // A server that was named has its own.
  if (context.server !== null) return;
  const { loadConfig } = await import('../config.ts');
  const { data_dir, database, files } = loadConfig(configInput(globals, env));
  context.data_dir = resolve(data_dir);
  context.cluster = database === null ? null : { database, files };
}

/** What the flags of all commands mean to the configuration. */
export function configInput(globals: Globals, env: NodeJS.ProcessEnv) {
  const dataDir = globals.data ?? globals.dataDir;
  const file = globals.config ?? (env.SHEAF_CONFIG || undefined);
  return {
    flags: dataDir === undefined ? {} : { data_dir: dataDir },
    env,
    ...(file !== undefined && { file }),
  };
}

/** Writes what was asked for to stdout, for people; nothing with `--json` or `--quiet`. */
export function say(context: Context, line = ''): void {
  if (context.output === 'text' && !context.quiet) context.terminal.out(line);
}

/** Writes a remark to stderr, unless nobody wants any. */
export function note(context: Context, line: string): void {
  if (!context.quiet) context.terminal.err(line);
}

/** Writes an answer for programs: one versioned object, or with `--jsonl` each element as a line. */
export function answer(context: Context, value: Record<string, unknown>): void {
  if (context.output === 'json') context.terminal.out(JSON.stringify({ schema: SCHEMA, ...value }, null, 2));
  if (context.output !== 'jsonl') return;
  const lines = Array.isArray(value.data) ? value.data : [value];
  for (const line of lines) context.terminal.out(JSON.stringify({ schema: SCHEMA, ...line }));
}

/** Changes when what `--json` prints stops to be what it was. */
export const SCHEMA = 'sheaf/v1';

/**
 * Asks yes or no on the terminal.
 *
 * @returns true with `--yes`, null where nobody is there to ask.
 */
export async function confirm(context: Context, question: string): Promise<boolean | null> {
  if (context.yes) return true;
  if (!context.terminal.canAsk) return null;
  const { createInterface } = await import('node:readline/promises');
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const reply = await reader.question(`${clean(question)} [y/N] `);
    return /^y(es)?$/i.test(reply.trim());
  } finally {
    reader.close();
  }
}
