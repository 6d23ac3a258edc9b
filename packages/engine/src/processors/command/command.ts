import { access } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname } from 'node:path';
import { MAX_ITEM_JSON_BYTES } from '@sheaf/protocol';
import { z } from 'zod';
import { childEnvironment } from '../../adapters/process-group.ts';
import { defineProcessor } from '../../define-processor.ts';
import type { Processor, WorkContext, WorkItem } from '../../ports/processor.ts';
import { type Arguments, fillArguments, parseArguments } from './arguments.ts';
import { findProgram } from './find-program.ts';
import { createLaunchers } from './launcher.ts';
import { type ProgramEnd, type ProgramRun, runDirectly } from './program.ts';
import { createReaper } from './reaper.ts';

/** How much of the program's last words goes into the failure; all of them are in the attempt's log. */
const LAST_LINES = 5;

export type CommandDefinition = {
  name: string;
  /**
   * The program and its arguments. Placeholders may be a whole argument or a part of one: `{path}`
   * (the item's file), `{name}`, `{seq}`, `{key}`, `{attempt}`, `{batch_id}`, `{input}`,
   * `{input.field}`, `{output:thumb.png}` (a path to write that output to).
   */
  argv: readonly string[];
  /** @default '1.0.0' */
  version?: string;
  description?: string;
  /** Whether running it twice for an item does no harm. @default true */
  idempotent?: boolean;
  /** Variables beside the allow-list (paths and language) and `SHEAF_BATCH_ID`, `_SEQ`, `_ATTEMPT`. @default {} */
  env?: Readonly<Record<string, string>>;
  /** Where it runs. @default the attempt's own folder when it has outputs, else the system's temporary one */
  cwd?: string;
  /** What it reads: the item's input as JSON, the item's file, or nothing. @default 'nothing' */
  stdin?: 'nothing' | 'input' | 'file';
  /**
   * Whether the program starts others that go on after it has ended: they are ended with it. Such a
   * program is a child of the server itself, which costs some milliseconds more per item.
   *
   * @default false
   */
  leaves_processes?: boolean;
  /** From SIGTERM to SIGKILL. @default 2000 */
  grace_ms?: number;
};

/**
 * Makes a processor of any program: run once an item, without a shell, so that nothing in an item's
 * name or input is ever taken for a command. For the operator's configuration: whoever may define a
 * command may run anything.
 *
 * What it prints is the result: JSON when it reads as JSON, else text, at most 256 KiB. What it
 * prints to standard error is the attempt's log. Another exit code than 0 is a failure `exit_1`.
 *
 * @throws bad_config when `argv` is wrong.
 */
export function defineCommand(definition: CommandDefinition): Processor<Record<string, never>, unknown> {
  const { name, version, idempotent, stdin = 'nothing', grace_ms = 2_000 } = definition;
  const parsed = parseArguments(name, definition.argv);
  const env = childEnvironment(definition.env);
  const surroundings = { env, grace_ms, max_stdout_bytes: MAX_ITEM_JSON_BYTES, reaper: createReaper() };
  const launchers = createLaunchers(surroundings);
  let found: string | null = null;
  return defineProcessor({
    name,
    description: definition.description ?? `Runs ${parsed.program} for each item.`,
    ...(version === undefined ? {} : { version }),
    ...(idempotent === undefined ? {} : { idempotent }),
    config: z.strictObject({}),
    input: z.json(),
    // The program is a process of its own already.
    isolation: 'inline',
    async run(given, context) {
      // Intake has checked the input as JSON.
      const item = given as WorkItem;
      const args = fillArguments(parsed, item, context);
      const lastLines: string[] = [];
      // Looked for until it is found: it may be installed while the server runs.
      found ??= await findProgram(parsed.program, env.PATH ?? '');
      const run: ProgramRun = {
        program: found,
        args,
        cwd: definition.cwd ?? folderOf(parsed, context),
        item,
        stdin: stdinOf(stdin, item),
        signal: context.signal,
        onErrorLine(line) {
          context.log(line);
          if (line.trim() !== '') lastLines.push(line);
          if (lastLines.length > LAST_LINES) lastLines.shift();
        },
      };
      const isLaunched = definition.leaves_processes !== true && launchers.takes(run);
      const ended = await (isLaunched ? launchers.run(run) : runDirectly(run, surroundings));
      checkEnd(parsed.program, ended, lastLines);
      for (const output of parsed.outputs) await checkOutput(output, context);
      return resultOf(ended.stdout);
    },
  });
}

function folderOf({ outputs }: Arguments, context: WorkContext): string {
  const [first] = outputs;
  return first === undefined ? tmpdir() : dirname(context.output(first));
}

function stdinOf(
  stdin: 'nothing' | 'input' | 'file',
  { input, file }: WorkItem,
): { text: string } | { path: string } | null {
  if (stdin === 'input') return { text: JSON.stringify(input) };
  return stdin === 'file' && file !== null ? { path: file.path } : null;
}

function checkEnd(program: string, { code, signal, isCut }: ProgramEnd, lastLines: readonly string[]): void {
  const words = lastLines.length === 0 ? '' : `: ${lastLines.join('\n')}`;
  if (signal !== null)
    throw failure(`killed_by_${signal.toLowerCase()}`, `${program} was killed by ${signal}${words}`);
  if (code !== 0) throw failure(`exit_${code}`, `${program} ended with exit code ${code}${words}`);
  if (isCut) {
    throw failure(
      'bad_result',
      `${program} printed more than 256 KiB; let it write to a file with {output:name}.`,
    );
  }
}

async function checkOutput(name: string, context: WorkContext): Promise<void> {
  try {
    await access(context.output(name));
  } catch {
    throw failure('output_missing', `The program ended well, but did not write its output "${name}".`);
  }
}

/** JSON when it is JSON, else the text without its last line end; nothing printed is no result. */
function resultOf(stdout: Buffer): unknown {
  const text = stdout.toString('utf8').replace(/\r?\n$/, '');
  if (text === '') return undefined;
  if (!/^\s*[[{"\d\-tfn]/.test(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function failure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
