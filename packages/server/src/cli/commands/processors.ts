import { type Json, nearest, type ProcessorInfo } from '@sheaf/protocol';
import type { Call } from '../command.ts';
import { type Connection, withConnection } from '../connect.ts';
import { answer, type Context, say } from '../context.ts';
import { failure } from '../failure.ts';
import { clean } from '../view/clean.ts';
import { shellWord } from '../view/format.ts';
import { table } from '../view/table.ts';

/** Without a data folder there are still processors to show. */
const HOW = { missing: 'scratch' } as const;

/** `sheaf processor list` */
export async function listProcessors({ context }: Call): Promise<number> {
  return await withConnection(context, HOW, async ({ client }) => {
    const processors = await client.processors();
    answer(context, { data: processors });
    const rows = processors.map((one) => [one.name, one.version, clean(one.description)]);
    sayTable(context, table([{ title: 'PROCESSOR' }, { title: 'VERSION' }, { title: 'WHAT IT DOES' }], rows));
    return 0;
  });
}

/** `sheaf processor show NAME` */
export async function showProcessor({ context, args }: Call): Promise<number> {
  return await withConnection(context, HOW, async (connection) => {
    const processor = await find(connection, args[0] ?? '');
    answer(context, { ...processor });
    const { paint } = context.terminal;
    say(context, `${paint('bold', processor.name)} ${processor.version}  ${clean(processor.description)}`);
    say(
      context,
      `  runs ${processor.isolation === 'process' ? 'in processes of its own' : 'inside the server'}; ${processor.idempotent ? 'running an item twice does no harm' : 'an item must not run twice: after a crash its batches wait for review'}`,
    );
    const settings = settingsOf(processor.config_schema);
    say(context, settings.length === 0 ? '  takes no settings' : '  settings (-p KEY=VALUE):');
    for (const line of settings) say(context, `    ${line}`);
    say(context, `  try: sheaf run ${shellWord(processor.name)} ./folder`);
    return 0;
  });
}

/** `sheaf template list` */
export async function listTemplates({ context }: Call): Promise<number> {
  return await withConnection(context, HOW, async ({ client }) => {
    const templates = await client.templates();
    answer(context, { data: templates });
    const rows = templates.map((one) => [
      one.id,
      one.processor,
      settingsText(one.config),
      clean(one.description),
    ]);
    const columns = [
      { title: 'TEMPLATE' },
      { title: 'PROCESSOR' },
      { title: 'SETTINGS', most: 40 },
      { title: 'WHAT IT DOES' },
    ];
    sayTable(context, table(columns, rows));
    return 0;
  });
}

function sayTable(context: Context, lines: readonly string[]): void {
  for (const line of lines) say(context, line);
}

async function find({ client }: Connection, name: string): Promise<ProcessorInfo> {
  const processors = await client.processors();
  const found = processors.find((one) => one.name === name || `${one.name}@${one.version}` === name);
  if (found !== undefined) return found;
  const near = nearest(
    name,
    processors.map((one) => one.name),
  );
  throw failure(
    'not_found',
    `there is no processor "${name}"`,
    near.length > 0 ? `did you mean ${near.join(', ')}?` : 'sheaf processor list',
  );
}

function settingsText(config: Record<string, Json>): string {
  return clean(
    Object.entries(config)
      .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
      .join(' '),
  );
}

/** The settings a JSON Schema speaks of, one a line: `width  integer 1–10000, default 320`. */
function settingsOf(schema: Json): string[] {
  if (!isObject(schema) || !isObject(schema.properties)) return [];
  const required = Array.isArray(schema.required) ? schema.required : [];
  return Object.entries(schema.properties).map(([name, rule]) => {
    const words = isObject(rule) ? ruleText(rule) : [];
    if (required.includes(name) && !words.some((word) => word.startsWith('default'))) words.push('required');
    return clean(`${name.padEnd(16)} ${words.join(', ')}`);
  });
}

function ruleText(rule: Record<string, Json>): string[] {
  const words: string[] = [];
  if (Array.isArray(rule.enum)) words.push(rule.enum.join(' | '));
  else if (typeof rule.type === 'string') words.push(rule.type);
  if (typeof rule.minimum === 'number') words.push(`at least ${rule.minimum}`);
  if (typeof rule.maximum === 'number' && rule.maximum < Number.MAX_SAFE_INTEGER)
    words.push(`at most ${rule.maximum}`);
  if (rule.default !== undefined) words.push(`default ${JSON.stringify(rule.default)}`);
  if (typeof rule.description === 'string') words.push(rule.description);
  return words;
}

function isObject(value: Json | undefined): value is Record<string, Json> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
