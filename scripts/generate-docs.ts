/**
 * Writes the pages that follow from the code: docs/states.md, docs/errors.md and docs/configuration.md.
 * With --check it writes nothing and fails if a page no longer says what the code says.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  BATCH_ACTIONS,
  BATCH_MOVES,
  ERRORS,
  FINAL_STATUSES,
  ITEM_MOVES,
} from '../packages/protocol/src/index.ts';
import { envName, settingsSchema } from '../packages/server/src/config.ts';

type Moves = Record<string, readonly string[]>;

const docs = join(import.meta.dirname, '..', 'docs');
const pages = {
  'states.md': statesPage(),
  'errors.md': errorsPage(),
  'configuration.md': configurationPage(),
};

if (process.argv.includes('--check')) {
  for (const [name, text] of Object.entries(pages)) {
    const path = join(docs, name);
    if (existsSync(path) && readFileSync(path, 'utf8') === text) continue;
    console.log(`docs/${name} is stale. Run: npm run fix`);
    process.exitCode = 1;
  }
} else {
  mkdirSync(docs, { recursive: true });
  for (const [name, text] of Object.entries(pages)) writeFileSync(join(docs, name), text);
}

function statesPage(): string {
  const actions = Object.entries(BATCH_ACTIONS).map(([action, { from, already }]) => [
    code(action),
    from.map(code).join(', '),
    already.map(code).join(', ') || '–',
  ]);
  return page(
    'States',
    'packages/protocol/src/states.ts',
    '## Batch',
    `A new batch is a \`draft\`. It is over in ${FINAL_STATUSES.map(code).join(', ')}; only a retry or an append leads out of these.`,
    diagram(BATCH_MOVES),
    movesTable(BATCH_MOVES),
    '## What can be asked of a batch',
    'Asked in any other state, an action is refused with `wrong_status` and changes nothing.',
    table(['action', 'legal in', 'already in effect in'], actions),
    '## Item',
    'A new item is `pending`. An explicit retry leads out of a final state and counts an attempt.',
    diagram(ITEM_MOVES),
    movesTable(ITEM_MOVES),
  );
}

function errorsPage(): string {
  const rows = Object.entries(ERRORS).map(([name, { status, exit, retryable, means }]) => [
    code(name),
    String(status),
    String(exit),
    retryable ? 'yes' : 'no',
    means.replaceAll('|', '\\|'),
  ]);
  return page(
    'Errors',
    'packages/protocol/src/errors.ts',
    'Branch on the code, never on the message. Over HTTP it is the `code` of the problem+json answer; the command line prints it and leaves with the exit code. Where “again” says yes, the same call may succeed later.',
    table(['code', 'HTTP', 'exit', 'again', 'what it means'], rows),
  );
}

function configurationPage(): string {
  const names = Object.keys(settingsSchema.shape) as (keyof typeof settingsSchema.shape)[]; // a shape's keys are its names
  const rows = names.map((name) => {
    const schema = settingsSchema.shape[name];
    const value = schema.parse(undefined);
    const shown = Array.isArray(value) ? value.join(', ') || '–' : value === null ? '–' : code(String(value));
    return [code(name), code(envName(name)), shown, schema.description ?? ''];
  });
  return page(
    'Configuration',
    'packages/server/src/config.ts',
    'A flag weighs more than the environment, the environment more than the file (`sheaf.json` in the folder you are in, or `--config FILE`), and the file more than the default. `sheaf up --help` and `sheaf worker --help` say which settings have a flag. Lists are written with commas in the environment and on the command line. `SHEAF_DATA` is short for `SHEAF_DATA_DIR`.',
    table(['setting', 'in the environment', 'default', 'what it is'], rows),
  );
}

function page(title: string, source: string, ...parts: string[]): string {
  const note = `<!-- Written by scripts/generate-docs.ts from ${source}. Change the table there, then: npm run fix -->`;
  return `${[`# ${title}`, note, ...parts].join('\n\n')}\n`;
}

function diagram(moves: Moves): string {
  const [first] = Object.keys(moves);
  const arrows = Object.entries(moves).flatMap(([from, next]) => next.map((to) => `  ${from} --> ${to}`));
  return ['```mermaid', 'stateDiagram-v2', `  [*] --> ${first}`, ...arrows, '```'].join('\n');
}

function movesTable(moves: Moves): string {
  const rows = Object.entries(moves).map(([from, next]) => [
    code(from),
    next.map(code).join(', ') || 'nothing',
  ]);
  return table(['from', 'may become'], rows);
}

function table(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function code(word: string): string {
  return `\`${word}\``;
}
