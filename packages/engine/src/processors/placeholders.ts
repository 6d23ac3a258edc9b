import { nearest, SheafError } from '@sheaf/protocol';
import { permanent } from '../define-processor.ts';
import type { WorkItem } from '../ports/processor.ts';

/** What a template may speak of. `output` exists for programs only. */
const NAMES = ['path', 'name', 'seq', 'key', 'attempt', 'batch_id', 'input', 'output'] as const;

export type Placeholder = {
  name: (typeof NAMES)[number];
  keys: readonly string[];
  argument: string;
  text: string;
};

/** A text with holes. */
export type Template = readonly (string | Placeholder)[];

const HOLE = /\{\{([a-z][^{}]*)\}\}|\{([a-z][a-z0-9_]*)((?:\.[^{}.:]+)*)(?::([^{}]*))?\}/g;

/**
 * Reads a template: `{name}`, `{seq}`, `{key}`, `{path}`, `{attempt}`, `{batch_id}`, `{input}`,
 * `{input.field.inner}` and, where asked for, `{output:file name}`. `{{name}}` stands for the text
 * `{name}`; braces around anything but a word are just braces.
 *
 * @throws bad_config for a word that is no placeholder.
 */
export function parseTemplate(text: string, { outputs }: { outputs: boolean }): Template {
  const parts: (string | Placeholder)[] = [];
  let from = 0;
  for (const match of text.matchAll(HOLE)) {
    const [whole, literal, word = '', path = '', argument = ''] = match;
    if (match.index > from) parts.push(text.slice(from, match.index));
    parts.push(literal === undefined ? placeholder(whole, word, path, argument, outputs) : `{${literal}}`);
    from = match.index + whole.length;
  }
  if (from < text.length) parts.push(text.slice(from));
  return parts;
}

/** The value a placeholder stands for in this item; never undefined. `output` has none. */
export function placeholderValue({ name, keys, text }: Placeholder, item: WorkItem): unknown {
  if (name === 'path') return item.file?.path ?? none(text, 'the item has no file');
  if (name === 'key') return item.key ?? none(text, 'the item has no key');
  if (name === 'output') return none(text, 'only a program writes outputs');
  let value: unknown = item[name];
  for (const key of keys) {
    const holder: object = typeof value === 'object' && value !== null ? value : {};
    value = Object.hasOwn(holder, key) ? (holder as Record<string, unknown>)[key] : undefined;
  }
  return value ?? none(text, "the item's input does not have it");
}

/** A value as text: JSON where it is a list or an object. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function placeholder(
  text: string,
  word: string,
  path: string,
  argument: string,
  outputs: boolean,
): Placeholder {
  const known = NAMES.filter((name) => outputs || name !== 'output');
  const name = known.find((candidate) => candidate === word);
  const isWellFormed =
    name !== undefined && (path === '' || name === 'input') && (argument === '') === (name !== 'output');
  if (!isWellFormed) {
    const hint = nearest(word, known, 1)[0];
    throw new SheafError(
      'bad_config',
      `${text} is no placeholder${hint === undefined ? '' : ` (did you mean {${hint}}?)`}; there are ${known.join(', ')}. Write {{${text.slice(1, -1)}}} for the text itself.`,
      { placeholder: text },
    );
  }
  return { name, keys: path === '' ? [] : path.slice(1).split('.'), argument, text };
}

function none(text: string, why: string): never {
  throw permanent(`${text} has no value: ${why}.`, 'missing_input');
}
