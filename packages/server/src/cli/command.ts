import type { Command } from 'commander';
import { type Context, createContext, type Globals, settle } from './context.ts';

/** What an action gets: how to speak and where the data is, and what was typed. */
export type Call<Options = unknown> = {
  context: Context;
  args: string[];
  options: Options;
  globals: Globals;
};

/** Runs a command; answers its exit code. */
export type Action<Options> = (call: Call<Options>) => Promise<number>;

/** Keeps the exit code and the context of the one action that ran. */
export type Outcome = { code: number; context: Context | null };

/**
 * Binds an action that is loaded only when its command runs: most of the start-up time of a command
 * line is modules that the command does not need.
 */
export function bind<Options>(
  outcome: Outcome,
  command: Command,
  load: () => Promise<Action<Options>>,
): Command {
  return command.action(async () => {
    const globals = command.optsWithGlobals<Globals>();
    const context = createContext(globals);
    outcome.context = context;
    await settle(context, globals);
    const action = await load();
    outcome.code = await action({
      context,
      globals,
      // Those that may be many come as a list inside the list.
      args: command.processedArgs.flat().filter((argument) => argument !== undefined),
      // What commander has parsed is what `program.ts` declares beside the name of the action.
      options: command.opts() as Options,
    });
  });
}

/** For options that may be given many times. */
export function collect(value: string, all: string[] = []): string[] {
  return [...all, value];
}
