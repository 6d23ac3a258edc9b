import { nearest } from '@sheaf/protocol';
import type { Command } from 'commander';
import { exitCodeLines } from './exit-codes.ts';
import { failure } from './failure.ts';

/** Prints the help of a command or a topic to stdout. @throws usage with the nearest words */
export function help(program: Command, topic: readonly string[]): void {
  const [word] = topic;
  if (word === 'exit-codes') {
    process.stdout.write(`${exitCodeLines().join('\n')}\n`);
    return;
  }
  let command = program;
  for (const part of topic) {
    const next = command.commands.find((one) => one.name() === part || one.aliases().includes(part));
    if (next === undefined) {
      const known = [...command.commands.map((one) => one.name()), 'exit-codes'];
      const near = nearest(part, known);
      throw failure(
        'usage',
        `there is no help for "${part}"`,
        near.length > 0 ? `did you mean ${near.join(', ')}?` : 'sheaf help',
      );
    }
    command = next;
  }
  command.outputHelp();
}
