import { nearest, SheafError } from '@sheaf/protocol';
import type { Pack, Processor } from './ports/processor.ts';

/** What an engine is made of. Everything has a default but the folder. */
export type EngineOptions = {
  /** Folder of the database and the files; made when missing. */
  data_dir: string;
  /**
   * `postgres://…` of a cluster: every engine on the same database works on the same batches. Needs
   * the packages `pg` and `pg-boss`. `null`: SQLite in the folder, for this process alone.
   *
   * @default null
   */
  database?: string | null;
  /**
   * Where bytes lie: `s3://bucket/prefix?endpoint=…` (needs `@aws-sdk/client-s3` and
   * `@aws-sdk/lib-storage`), or a folder that all machines of a cluster share. `null`: in the folder.
   *
   * @default null
   */
  files?: string | null;
  /**
   * The pools of a cluster this engine works for. A batch belongs to its processor's pool.
   *
   * @default ['default']
   */
  pools?: readonly string[];
  /** Processors beside those of the packs and the engine's own. @default [] */
  processors?: readonly Processor[];
  /** @default [] */
  packs?: readonly Pack[];
  /**
   * Items this process runs at the same time, over all batches. Raise it for processors that wait,
   * not for those that compute.
   *
   * @default 8
   */
  concurrency?: number;
  /**
   * False: look and steer only. Nothing is leased, recovered or swept.
   *
   * @default true
   */
  work?: boolean;
  /**
   * What happens to batches that a crash interrupted, where their own policy does not say: `null`
   * resumes those of idempotent processors and holds the others for review.
   *
   * @default null
   */
  recovery?: 'resume' | 'review' | null;
  /** Days a finished batch is kept. @default 7 */
  retention_days?: number;
  /** Longest wait at close for running items. @default 30000 */
  drain_ms?: number;
  /** Told of problems that no call is there to answer for. @default writes to stderr */
  onError?: (error: unknown) => void;
};

export const DEFAULTS = {
  database: null,
  files: null,
  pools: ['default'],
  processors: [],
  packs: [],
  concurrency: 8,
  work: true,
  recovery: null,
  retention_days: 7,
  drain_ms: 30_000,
  onError: (error: unknown) => console.error(error),
} satisfies Omit<Required<EngineOptions>, 'data_dir'>;

export type ResolvedOptions = Required<EngineOptions>;

/** @throws bad_config naming the option, its value and the remedy. */
export function resolveOptions(options: EngineOptions): ResolvedOptions {
  const known = ['data_dir', ...Object.keys(DEFAULTS)];
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    const [near] = nearest(name, known);
    throw new SheafError(
      'bad_config',
      `There is no option ${name}.${near === undefined ? '' : ` Did you mean ${near}?`}`,
    );
  }
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const resolved = { ...DEFAULTS, ...given } as unknown as ResolvedOptions;
  needs(
    typeof resolved.data_dir === 'string' && resolved.data_dir !== '',
    'data_dir',
    resolved.data_dir,
    'a folder',
  );
  needs(isAddress(resolved.database), 'database', '(not shown)', 'postgres://… or null');
  needs(
    resolved.files === null || (typeof resolved.files === 'string' && resolved.files !== ''),
    'files',
    resolved.files,
    's3://…, a folder or null',
  );
  needs(
    isList(resolved.pools, (name) => typeof name === 'string' && /^[a-z_][a-z0-9_]{0,49}$/.test(name)) &&
      resolved.pools.length > 0,
    'pools',
    resolved.pools.join(', '),
    'a list of names such as default',
  );
  needs(isList(resolved.processors, isProcessor), 'processors', resolved.processors, 'a list of processors');
  needs(isList(resolved.packs, isPack), 'packs', resolved.packs, 'a list of packs');
  needs(typeof resolved.work === 'boolean', 'work', resolved.work, 'true or false');
  needs(typeof resolved.onError === 'function', 'onError', resolved.onError, 'a function');
  needsCount('concurrency', resolved.concurrency, 1, 10_000);
  needsCount('retention_days', resolved.retention_days, 0, 36_500);
  needsCount('drain_ms', resolved.drain_ms, 0, 86_400_000);
  needs(
    [null, 'resume', 'review'].includes(resolved.recovery),
    'recovery',
    resolved.recovery,
    'resume, review or null',
  );
  return resolved;
}

function isAddress(value: unknown): boolean {
  return value === null || (typeof value === 'string' && /^postgres(?:ql)?:\/\/\S+$/.test(value));
}

function isList(value: unknown, isOne: (value: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(isOne);
}

function isProcessor(value: unknown): boolean {
  return has(value, 'name', 'string') && has(value, 'run', 'function') && has(value, 'config', 'object');
}

function isPack(value: unknown): boolean {
  if (!has(value, 'processors', 'object') || !has(value, 'templates', 'object')) return false;
  const { processors, templates } = value as Record<string, unknown>;
  return isList(processors, isProcessor) && isList(templates, (template) => has(template, 'id', 'string'));
}

function has(value: unknown, key: string, type: string): boolean {
  return (
    typeof value === 'object' && value !== null && typeof (value as Record<string, unknown>)[key] === type
  );
}

function needsCount(name: string, value: number, least: number, most: number): void {
  needs(
    Number.isInteger(value) && value >= least && value <= most,
    name,
    value,
    `a whole number from ${least} to ${most}`,
  );
}

function needs(isRight: boolean, name: string, value: unknown, what: string): void {
  if (!isRight)
    throw new SheafError('bad_config', `The option ${name} is ${shown(value)}; it must be ${what}.`);
}

function shown(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? JSON.stringify(value) : String(value);
}
