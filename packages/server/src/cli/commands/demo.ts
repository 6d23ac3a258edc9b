import { stat } from 'node:fs/promises';
import { errorCode } from '@sheaf/protocol';
import type { Call } from '../command.ts';
import { type Connection, withConnection } from '../connect.ts';
import { type Context, say } from '../context.ts';
import { freeFolder } from '../download.ts';
import { failure } from '../failure.ts';
import type { InputFile } from '../inputs.ts';
import { runBatch } from './run.ts';

const TEMPLATE = 'thumbnails';

/** `sheaf demo`: the sample photographs, one of them broken on purpose. */
export async function demo({ context }: Call): Promise<number> {
  const files = await samples();
  const dir = await freeFolder('sheaf-demo-out');
  say(context, `${files.length - 1} photographs, and one file that is broken on purpose, become thumbnails.`);
  say(context, `Each becomes an item of one batch; what comes out lands in ./${dir}.`);
  say(context);
  return await withConnection(context, { work: true, missing: 'make' }, async (connection) => {
    const code = await runBatch(context, connection, {
      batch: { name: 'demo', template_id: TEMPLATE, labels: { demo: 'true' } },
      source: { files, bytes: files.reduce((sum, file) => sum + file.bytes, 0) },
      flags: { out: dir, has_next: false },
    });
    // The broken file is part of the show; everything else would be a failure of ours.
    if (code !== 3) return code;
    await explain(context, connection, dir);
    return 0;
  });
}

async function samples(): Promise<InputFile[]> {
  const { packs } = await import('@sheaf/packs');
  const found = packs.find(({ name }) => name === 'photos')?.samples ?? [];
  if (found.length === 0) throw failure('dependency_missing', 'the sample photographs are not installed');
  return await Promise.all(
    found.map(async ({ path, name }) => {
      const { size } = await stat(path).catch((error) => {
        throw errorCode(error) === undefined ? failure('no_input', `cannot read the sample ${path}`) : error;
      });
      return { path, name, folder: '', bytes: size };
    }),
  );
}

async function explain(context: Context, { client }: Connection, dir: string): Promise<void> {
  const [batch] = (await client.list({ sort_by: 'created_at', sort_order: 'DESC', limit: 1 })).data;
  const [cause] = batch === undefined ? [] : await client.causes(batch.id);
  const bold = (text: string) => context.terminal.paint('bold', text);
  say(context);
  say(context, 'One item failed, as it should: its file ends in the middle. The others are done and kept.');
  say(context, 'Send it back to work, with a setting that saves what can be saved:');
  say(context);
  say(context, `  ${bold(`sheaf retry @last --cause ${cause?.code ?? '…'} -p repair=true`)}`);
  say(context, `  ${bold(`sheaf download @last --out ${dir}`)}`);
  say(context);
  say(context, `Then your own pictures:  ${bold('sheaf run thumbnails ./my-photos')}`);
}
