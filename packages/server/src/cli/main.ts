import type { Command } from 'commander';
import { CommanderError } from 'commander';
import type { Outcome } from './command.ts';
import { createContext } from './context.ts';
import { createProgram } from './program.ts';

/** Runs the command line to its end and answers the exit code. Never throws. */
export async function main(args: readonly string[]): Promise<number> {
  const outcome: Outcome = { code: 0, context: null };
  const program = createProgram(outcome);
  quieten(program);
  try {
    await program.parseAsync(withHome(program, args), { from: 'user' });
    return outcome.code;
  } catch (error) {
    const context = outcome.context ?? createContext(flagsOf(args));
    const [{ report, failure }] = await Promise.all([import('./failure.ts')]);
    if (!(error instanceof CommanderError)) return report(context, error);
    // Help and version were asked for, and printed.
    if (error.exitCode === 0) return 0;
    const { message, hint } = usageOf(error.message);
    return report(context, failure('usage', message, hint));
  }
}

/** Lets errors be thrown instead of printed, in every command. */
function quieten(command: Command): void {
  command.exitOverride().configureOutput({ outputError: () => undefined });
  for (const inner of command.commands) quieten(inner);
}

/** Without a command there is a short look at how things stand. */
function withHome(program: Command, args: readonly string[]): string[] {
  const isPlain = !args.some((arg) => ['-h', '--help', '-V', '--version'].includes(arg));
  const { operands, unknown } = program.parseOptions([...args]);
  return operands.length === 0 && unknown.length === 0 && isPlain ? [...args, 'home'] : [...args];
}

/** The options that decide how an error is shown, for when the command line itself is wrong. */
function flagsOf(args: readonly string[]) {
  return { json: args.includes('--json'), jsonl: args.includes('--jsonl'), debug: args.includes('--debug') };
}

/** Commander's message in our form: what is wrong, and apart from it what was probably meant. */
function usageOf(text: string): { message: string; hint: string } {
  const guess = /\(Did you mean (.+?)\?\)/.exec(text)?.[1];
  const message = text
    .replace(/^error: /, '')
    .replace(/\s*\(Did you mean .+?\?\)/, '')
    .trim();
  return {
    message,
    hint: guess === undefined ? 'sheaf help' : `did you mean ${guess.replace(/^one of /, '')}?`,
  };
}
