import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import type { Json } from '@sheaf/protocol';
import { z } from 'zod';
import { defineProcessor, permanent, retryAfter } from '../../../define-processor.ts';
import type { WorkContext, WorkItem } from '../../../ports/processor.ts';

type Context = WorkContext<Record<string, Json>>;

/** What user code may do, by name. Children import this module, so a case can only say the name. */
const BEHAVIOURS = {
  // Good ones.
  echo: ({ input }: WorkItem) => input,
  nothing: () => undefined,
  soon: async () => ({ soon: await wait(1, true) }),
  config: (_: WorkItem, { config }: Context) => config,
  item: (item: WorkItem) => ({ ...item }),
  promise_of_promise: () => Promise.resolve(Promise.resolve('inner')),
  date: () => ({ at: new Date(0), skipped: undefined, list: [undefined] }),
  nul: () => ({ text: 'a\0b', half: '\ud800', back: '\\u0000', whole: '😀' }),
  log: (_: WorkItem, { log }: Context) => {
    log('first');
    log('second\u001b[31m');
    return null;
  },
  log_flood: (_: WorkItem, { log }: Context) => {
    for (let line = 0; line < 20_000; line++) log(`line ${line} ${'x'.repeat(50)}`);
  },
  log_one_line: (_: WorkItem, { log }: Context) => log('€'.repeat(1_000_000)),
  metric: (_: WorkItem, { metric }: Context) => {
    metric('size', 1);
    metric('size', 2.5);
    metric('nan', Number.NaN);
    metric('__proto__', 1);
  },
  progress: (_: WorkItem, { progress }: Context) => progress('half', 50),
  odd_progress: (_: WorkItem, { progress }: Context) => progress('x'.repeat(1_000), 700),

  // Outputs.
  output: (_: WorkItem, { output }: Context) => {
    writeFileSync(output('a.txt'), 'one');
    writeFileSync(output('ファイル -rf $(id).txt'), 'two');
    writeFileSync(output('a.txt'), 'three');
    return null;
  },
  output_unwritten: (_: WorkItem, { output }: Context) => void output('never.txt'),
  output_link: (_: WorkItem, { output }: Context) => symlinkSync('/etc/hostname', output('link')),
  output_folder: (_: WorkItem, { output }: Context) => mkdirSync(output('folder')),
  output_fifo: (_: WorkItem, { output }: Context) =>
    void execFileSync('sh', ['-c', 'mkfifo "$1"', 'sh', output('fifo')]),
  output_sparse: (_: WorkItem, { output }: Context) => {
    const path = output('huge');
    writeFileSync(path, '');
    truncateSync(path, 2 * 1024 ** 4);
  },
  output_name: ({ input }: WorkItem, { output }: Context) => output((input as { name: string }).name),
  output_then_fail: (_: WorkItem, { output }: Context) => {
    writeFileSync(output('a.txt'), 'one');
    throw new Error('after the output');
  },

  // Errors.
  throw_error: () => {
    throw new Error('a plain error');
  },
  throw_type_error: () => (undefined as unknown as { x: string }).x,
  reject: () => Promise.reject(new Error('rejected')),
  throw_string: () => raise('a text'),
  throw_undefined: () => raise(undefined),
  throw_null: () => raise(null),
  throw_symbol: () => raise(Symbol('odd')),
  throw_frozen: () => raise(Object.freeze(new Error('frozen'))),
  throw_cyclic: () => {
    const error = new Error('cyclic');
    throw Object.assign(error, { cause: error });
  },
  throw_getter: () =>
    raise({
      get message() {
        throw new Error('not even that');
      },
    }),
  throw_proxy: () =>
    raise(
      new Proxy(
        {},
        {
          get() {
            throw new Error('no');
          },
          getPrototypeOf() {
            throw new Error('no');
          },
        },
      ),
    ),
  throw_long: () => {
    throw new Error('€'.repeat(10_000_000));
  },
  throw_nul: () => {
    throw new Error('a\0b \ud800');
  },
  throw_to_json: () => raise({ toJSON: () => raise(new Error('bomb')), message: 'with a bomb' }),
  throw_code: () => {
    throw Object.assign(new Error('coded'), { code: 'quota_exceeded' });
  },
  throw_odd_code: () => {
    throw Object.assign(new Error('coded'), { code: 'No Code; drop table' });
  },
  throw_system_code: () => {
    throw Object.assign(new Error('gone'), { code: 'ECONNREFUSED' });
  },
  throw_cause: () => {
    throw new Error('fetch failed', {
      cause: Object.assign(new Error('nobody listens'), { code: 'ECONNREFUSED' }),
    });
  },
  throw_disk_full: () => {
    throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
  },
  throw_unreadable: ({ file }: WorkItem) => {
    throw Object.assign(new Error('cannot read'), { code: 'EIO', path: file?.path });
  },
  permanent: () => {
    throw permanent('it will never work', 'unsupported');
  },
  retry_after: () => {
    throw retryAfter(1_500, 'busy');
  },

  // Results that are none.
  return_bigint: () => ({ deep: [{ count: 1n }] }),
  return_cyclic: () => {
    const result: Record<string, unknown> = { name: 'me' };
    result.self = result;
    return result;
  },
  return_function: () => ({ callback: () => 1 }),
  return_symbol: () => Symbol('odd'),
  return_nan: () => ({ mean: 0 / 0 }),
  return_date: () => ({ at: new Date(Number.NaN) }),
  return_map: () => ({ counts: new Map([['a', 1]]) }),
  return_bytes: () => ({ image: Buffer.from('x') }),
  return_proto: () => JSON.parse('{"__proto__":{"admin":true}}'),
  return_to_json: () => ({ inner: { toJSON: () => raise(new Error('bomb')) } }),
  return_to_json_for_ever: () => {
    const bomb = { toJSON: (): unknown => ({ bomb }) };
    return bomb;
  },
  return_getter: () => ({
    get field() {
      throw new Error('no field');
    },
  }),
  return_huge: () => 'x'.repeat(300_000_000),
  return_wide: () => Array.from({ length: 300_000 }, () => 1),
  return_wide_letters: () => '€'.repeat(100_000),
  return_shared: () => {
    // A million million paths through forty values.
    let node: unknown = 1;
    for (let depth = 0; depth < 40; depth++) node = [node, node];
    return node;
  },
  return_deep: () => {
    let node: unknown = 1;
    for (let depth = 0; depth < 100_000; depth++) node = [node];
    return node;
  },
  thenable_twice: () => ({
    // biome-ignore lint/suspicious/noThenProperty: that is the case
    then(resolve: (value: unknown) => void, reject: (error: unknown) => void) {
      resolve('first');
      reject(new Error('second'));
      throw new Error('third');
    },
  }),
  then_getter: () => ({
    // biome-ignore lint/suspicious/noThenProperty: that is the case
    get then() {
      throw new Error('no then');
    },
  }),

  // Time.
  until_abort: (_: WorkItem, { signal }: Context) => {
    return new Promise((_resolve, reject) =>
      signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
    );
  },
  hold: (_: WorkItem, { progress, signal }: Context) => {
    progress('held');
    return new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  },
  until_abort_then_result: (_: WorkItem, { signal }: Context) => {
    return new Promise((resolve) =>
      signal.addEventListener('abort', () => resolve('too late'), { once: true }),
    );
  },
  ignore_abort: ({ input }: WorkItem) => wait((input as { ms: number }).ms, 'ignored'),
} satisfies Record<string, (item: WorkItem, context: Context) => unknown>;

export type Behaviour = keyof typeof BEHAVIOURS;

/** A processor that behaves as its item asks: `input.do` names the behaviour. */
export const behaving = defineProcessor({
  name: 'behaving',
  module: import.meta.url,
  config: z.record(z.string(), z.json()),
  input: z.json(),
  run(item, context) {
    const given = item as WorkItem<{ do: Behaviour }>;
    return BEHAVIOURS[given.input.do](given, context);
  },
});

function raise(thrown: unknown): never {
  throw thrown;
}
