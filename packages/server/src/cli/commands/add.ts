import type { Call } from '../command.ts';
import { withConnection } from '../connect.ts';
import { answer, note, say } from '../context.ts';
import { failure } from '../failure.ts';
import { collectFiles, linesHint } from '../inputs.ts';
import { linesFromInput, linesFromManifest } from '../lines.ts';
import { resolveBatch } from '../resolve.ts';
import { uploadFiles } from '../upload.ts';
import { clean } from '../view/clean.ts';
import { plural } from '../view/format.ts';
import { openWorkView } from '../view/work-view.ts';

/** `sheaf add`: more items for a batch, also while it runs. */
export async function add({
  context,
  args,
  options,
}: Call<{ manifest?: string; rest?: boolean }>): Promise<number> {
  const [reference = '', ...paths] = args;
  const { manifest } = options;
  if (paths.length === 0 && manifest === undefined) {
    throw failure(
      'no_input',
      'nothing to add',
      'name files or a folder, - for JSON lines on standard input, or --manifest FILE.jsonl',
    );
  }
  const isLines = manifest !== undefined || paths.includes('-');
  const lines = isLines
    ? await (manifest === undefined ? linesFromInput(process.stdin) : linesFromManifest(manifest))
    : null;
  if (options.rest && isLines) throw failure('usage', '--rest goes with files, which have an order');
  const files = isLines ? [] : (await collectFiles(paths)).files;
  return await withConnection(context, {}, async ({ client, isWorking }) => {
    const batch = await resolveBatch(client, reference);
    if (lines !== null) await client.addLines(batch.id, lines.body);
    else {
      const hint = linesHint(paths, files);
      if (hint !== null) note(context, hint);
      const view = openWorkView(context);
      // What the batch has of these files: none of them yet, or after a stopped upload the first ones.
      const where = options.rest
        ? { from: Math.min(batch.total_items, files.length) }
        : { base: batch.total_items };
      await uploadFiles(client, batch.id, files, { onState: view.upload, ...where }).finally(view.close);
      if (options.rest && batch.open) await client.seal(batch.id);
    }
    const after = await client.get(batch.id);
    answer(context, { ...after });
    say(
      context,
      `${plural(after.total_items - batch.total_items, 'item')} added to ${clean(after.name)}, which has ${plural(after.total_items, 'item')} now.`,
    );
    if (after.status === 'draft') say(context, `It is a draft: sheaf start ${after.id}`);
    else if (!isWorking) note(context, 'Nothing works on it now: sheaf up, or sheaf resume');
    return 0;
  });
}
