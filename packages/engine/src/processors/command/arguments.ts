import { SheafError } from '@sheaf/protocol';
import { permanent } from '../../define-processor.ts';
import { outputNameProblem } from '../../domain/attempt-notes.ts';
import type { WorkContext, WorkItem } from '../../ports/processor.ts';
import { parseTemplate, placeholderValue, type Template, textOf } from '../placeholders.ts';

/** A program and its arguments, checked once when the command is defined. */
export type Arguments = {
  program: string;
  templates: readonly Template[];
  outputs: readonly string[];
  optionsEnd: number;
};

/**
 * Checks an argv with placeholders.
 *
 * @throws bad_config when it is empty, its program is not fixed, or a placeholder is wrong.
 */
export function parseArguments(command: string, argv: readonly string[]): Arguments {
  const [program, ...rest] = argv;
  const templates = rest.map((argument) => parseTemplate(argument, { outputs: true }));
  const outputs = templates.flatMap((template) =>
    template.flatMap((part) => (typeof part !== 'string' && part.name === 'output' ? [part.argument] : [])),
  );
  const wrong = outputs.find((name) => outputNameProblem(name) !== null);
  if (wrong !== undefined) throw bad(command, `the output name "${wrong}" ${outputNameProblem(wrong)}`);
  if (program === undefined || program === '')
    throw bad(command, 'argv needs a program as its first element');
  if (argv.some((argument) => argument.includes('\0'))) throw bad(command, 'an argument has a NUL character');
  if (parseTemplate(program, { outputs: true }).some((part) => typeof part !== 'string')) {
    throw bad(command, 'the program itself cannot come from an item');
  }
  const end = rest.indexOf('--');
  return { program, templates, outputs: [...new Set(outputs)], optionsEnd: end === -1 ? rest.length : end };
}

/**
 * The arguments for one item. Each stays one argument, whatever the item's data is; data that a
 * program would take for an option is refused, unless `--` stands before it.
 */
export function fillArguments(
  { templates, optionsEnd }: Arguments,
  item: WorkItem,
  context: WorkContext,
): string[] {
  return templates.map((template, index) => {
    const text = template
      .map((part) => {
        if (typeof part === 'string') return part;
        return part.name === 'output' ? context.output(part.argument) : textOf(placeholderValue(part, item));
      })
      .join('');
    if (text.includes('\0'))
      throw permanent('The item holds a NUL character, which no argument can.', 'bad_input');
    if (index < optionsEnd && text.startsWith('-') && typeof template[0] === 'object') {
      throw permanent(`The argument "${text.slice(0, 200)}" would be taken for an option.`, 'bad_input');
    }
    return text;
  });
}

function bad(command: string, problem: string): SheafError {
  return new SheafError('bad_config', `The command "${command}" is wrong: ${problem}.`, { command });
}
