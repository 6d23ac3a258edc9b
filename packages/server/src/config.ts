import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { nearest, SheafError } from '@sheaf/protocol';
import { z } from 'zod';

/** Every setting of the server. What it describes and its default are what the documentation says. */
export const settingsSchema = z.strictObject({
  data_dir: z.string().min(1).default('./sheaf-data').describe('Folder of the database and the files.'),
  database: z
    .string()
    .regex(/^postgres(?:ql)?:\/\/\S+$/)
    .nullable()
    .default(null)
    .describe('PostgreSQL of a cluster, postgres://user@host/name; without it SQLite in the data folder.'),
  files: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      'Where bytes lie: s3://bucket/prefix?endpoint=URL, or a folder; else a folder in the data folder.',
    ),
  pools: z
    .array(z.string().regex(/^[a-z_][a-z0-9_]{0,49}$/))
    .min(1)
    .default(['default'])
    .describe('Pools of a cluster that this process works for.'),
  host: z.string().min(1).max(255).default('127.0.0.1').describe('Address to listen on.'),
  port: z.int().min(0).max(65_535).default(5100).describe('Port to listen on; 0 takes any that is free.'),
  concurrency: z.int().min(1).max(1_000).default(8).describe('Items this process runs at the same time.'),
  retention_days: z.int().min(0).max(36_500).default(7).describe('Days a finished batch is kept.'),
  allowed_hosts: z
    .array(z.string().min(1).max(255))
    .default([])
    .describe('Other names that requests may call this server by.'),
  allowed_origins: z
    .array(z.string().min(1).max(255))
    .default([])
    .describe('Web pages of these origins may call this server.'),
  log_level: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    .default('info')
    .describe('How much is logged.'),
  recovery: z
    .enum(['resume', 'review'])
    .nullable()
    .default(null)
    .describe(
      'What happens to batches that a crash interrupted; auto resumes those of idempotent processors.',
    ),
});

export type Settings = z.infer<typeof settingsSchema>;

type Name = keyof Settings;

/** A value and where it came from: `--port`, `SHEAF_PORT`, a file, or the default. */
type Found = { value: unknown; source: string; example: string };

export type ConfigInput = {
  /** From the command line, by setting; texts and values are both understood. @default {} */
  flags?: Partial<Record<Name, unknown>>;
  /** @default {} */
  env?: Readonly<Record<string, string | undefined>>;
  /** Path of a JSON file. One that is named must exist; `null` reads none. @default sheaf.json, if there is one */
  file?: string | null;
};

const NAMES = Object.keys(settingsSchema.shape) as Name[]; // the keys of a shape are its names

const DEFAULT_FILE = 'sheaf.json';

/** Short forms in the environment, beside `SHEAF_` and the name. */
const ALSO_IN_ENV: Partial<Record<Name, string>> = { data_dir: 'SHEAF_DATA' };

/** Read elsewhere, and no mistyped settings. */
const NO_SETTINGS = ['SHEAF_SERVER', 'SHEAF_CONFIG', 'SHEAF_DATA'];

/**
 * The settings of the server: a flag weighs more than the environment, that more than the file, and
 * that more than the default.
 *
 * @throws bad_config in one line: the setting, its value, where it came from and what to do.
 */
export function loadConfig(input: ConfigInput = {}): Settings {
  const file = readFile(input.file);
  checkEnvironment(input.env ?? {});
  const settings: Record<string, unknown> = {};
  const sources = new Map<Name, Found>();
  for (const name of NAMES) {
    const found =
      fromFlags(name, input.flags ?? {}) ?? fromEnv(name, input.env ?? {}) ?? fromFile(name, file);
    settings[name] = parse(name, found);
    if (found !== null) sources.set(name, found);
  }
  const checked = settingsSchema.parse(settings);
  refuseOpenDoors(checked, sources);
  checkFolder(checked.data_dir, sources.get('data_dir')?.source ?? 'the default');
  return checked;
}

function fromFlags(name: Name, flags: Partial<Record<Name, unknown>>): Found | null {
  const value = flags[name];
  if (value === undefined) return null;
  const flag = `--${name.replaceAll('_', '-')}`;
  return {
    value: typeof value === 'string' ? fromText(name, value) : value,
    source: flag,
    example: `${flag} ${exampleOf(name)}`,
  };
}

function fromEnv(name: Name, env: Readonly<Record<string, string | undefined>>): Found | null {
  for (const variable of [envName(name), ALSO_IN_ENV[name] ?? '']) {
    const text = env[variable];
    // An empty variable is how many tools write that there is none.
    if (text === undefined || text === '') continue;
    return { value: fromText(name, text), source: variable, example: `${variable}=${exampleOf(name)}` };
  }
  return null;
}

function fromFile(name: Name, file: { path: string; values: Record<string, unknown> } | null): Found | null {
  if (file === null || !Object.hasOwn(file.values, name)) return null;
  const value = file.values[name];
  // A folder in a file is meant from where the file is, not from where the server was started.
  const isPath = name === 'data_dir' && typeof value === 'string' && value !== '';
  return {
    value: isPath ? resolve(dirname(file.path), value) : value,
    source: file.path,
    example: `"${name}": ${JSON.stringify(defaultOf(name))}`,
  };
}

/** What a text of the command line or the environment says. One that fits no form stays a text, and is refused. */
function fromText(name: Name, text: string): unknown {
  if (name === 'allowed_hosts' || name === 'allowed_origins' || name === 'pools') {
    return text
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== '');
  }
  if (name === 'recovery') return text === 'auto' ? null : text;
  const isNumber = typeof defaultOf(name) === 'number' && /^-?\d{1,15}$/.test(text);
  return isNumber ? Number(text) : text;
}

function parse(name: Name, found: Found | null): unknown {
  if (found === null) return defaultOf(name);
  const parsed = settingsSchema.shape[name].safeParse(found.value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const why = issue?.code === 'invalid_type' ? issue.message.replace(/^Invalid input: /, '') : wanted(name);
  throw badConfig(name, found.value, found.source, `${why}; for example ${found.example}`);
}

/** What a setting takes, in words. */
function wanted(name: Name): string {
  const {
    minimum,
    maximum,
    anyOf,
    enum: words,
  } = z.toJSONSchema(settingsSchema.shape[name], { unrepresentable: 'any' });
  if (minimum !== undefined && maximum !== undefined)
    return `expected a whole number from ${minimum} to ${maximum}`;
  const known = words ?? anyOf?.flatMap((one) => one.enum ?? []);
  return known === undefined
    ? 'expected something else'
    : `expected ${known.join(', ')}${name === 'recovery' ? ' or auto' : ''}`;
}

function readFile(path: string | null | undefined): { path: string; values: Record<string, unknown> } | null {
  if (path === null || (path === undefined && !existsSync(DEFAULT_FILE))) return null;
  const file = path ?? DEFAULT_FILE;
  const values = parseFile(file);
  for (const key of Object.keys(values)) {
    if (NAMES.some((name) => name === key)) continue;
    const [near] = nearest(key, NAMES, 1);
    throw new SheafError(
      'bad_config',
      `${file}: there is no setting "${short(key)}"; ${near ? `did you mean "${near}"?` : `there are ${NAMES.join(', ')}.`}`,
      { setting: key, source: file },
    );
  }
  return { path: file, values };
}

function parseFile(file: string): Record<string, unknown> {
  try {
    const values: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (typeof values === 'object' && values !== null && !Array.isArray(values)) return { ...values };
  } catch (error) {
    const why = error instanceof SyntaxError ? 'is not JSON' : 'cannot be read';
    throw new SheafError(
      'bad_config',
      `The configuration file ${file} ${why}; it holds settings such as {"port": 5100}.`,
      { source: file },
      error,
    );
  }
  throw new SheafError(
    'bad_config',
    `The configuration file ${file} must be one object, such as {"port": 5100}.`,
    { source: file },
  );
}

/** A mistyped variable would be passed over in silence; one that belongs to somebody else may be. */
function checkEnvironment(env: Readonly<Record<string, string | undefined>>): void {
  const known = NAMES.map(envName);
  for (const variable of Object.keys(env)) {
    if (!variable.startsWith('SHEAF_') || known.includes(variable) || NO_SETTINGS.includes(variable))
      continue;
    const name = variable.slice('SHEAF_'.length).toLowerCase();
    const [near] = nearest(
      name,
      NAMES.filter((setting) => setting.length > 3),
      1,
    );
    if (near === undefined) continue;
    throw new SheafError(
      'bad_config',
      `There is no variable ${variable}; did you mean SHEAF_${near.toUpperCase()}?`,
      { setting: variable, source: 'the environment' },
    );
  }
}

/** Without keys, whoever reaches the server may do everything: it must not be reachable from elsewhere. */
function refuseOpenDoors({ host, allowed_origins }: Settings, sources: ReadonlyMap<Name, Found>): void {
  const source = (name: Name) => sources.get(name)?.source ?? 'the default';
  if (!/^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/i.test(host)) {
    throw badConfig(
      'host',
      host,
      source('host'),
      'other machines could reach the server, and access keys come with a later release; leave it at 127.0.0.1 and put a proxy that asks for a password before it',
    );
  }
  if (allowed_origins.length > 0) {
    throw badConfig(
      'allowed_origins',
      allowed_origins,
      source('allowed_origins'),
      'other pages need an access key, and these come with a later release; leave it out',
    );
  }
}

function checkFolder(path: string, source: string): void {
  if (!existsSync(path)) return;
  if (!statSync(path).isDirectory())
    throw badConfig('data_dir', path, source, 'it is not a folder; name another one');
  try {
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch {
    throw badConfig(
      'data_dir',
      path,
      source,
      'it cannot be read and written; change its permissions or name another one',
    );
  }
}

function badConfig(setting: Name, value: unknown, source: string, fix: string): SheafError {
  const shown = short(typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value)));
  return new SheafError('bad_config', `${setting} "${shown}" (from ${source}): ${fix}.`, {
    setting,
    value: shown,
    source,
  });
}

/** As much as anybody needs to see of a value; never the password in an address. */
function short(text: string): string {
  const open = text.replace(/(\/\/[^\s/:@]*):[^\s/]*@/, '$1:…@');
  return open.length <= 100 ? open : `${open.slice(0, 99)}…`;
}

/** The variable of the environment that sets it. */
export function envName(name: Name): string {
  return `SHEAF_${name.toUpperCase()}`;
}

function defaultOf(name: Name): unknown {
  return settingsSchema.shape[name].parse(undefined);
}

/** Where the default is no good example. */
const EXAMPLES: Partial<Record<Name, string>> = {
  allowed_hosts: 'sheaf.example',
  allowed_origins: 'https://sheaf.example',
  recovery: 'auto',
  database: 'postgres://sheaf@127.0.0.1/sheaf',
  files: 's3://bucket/prefix',
  pools: 'default',
};

function exampleOf(name: Name): string {
  return EXAMPLES[name] ?? String(defaultOf(name));
}
