import { join } from 'node:path';
import type { Call } from '../command.ts';
import { shown, withConnection } from '../connect.ts';
import { answer, say } from '../context.ts';
import { downloadOutputs, freeFolder, writeFailure } from '../download.ts';
import { resolveBatch } from '../resolve.ts';
import { safeName } from '../safe-name.ts';
import { outputsText } from '../summary.ts';
import { openWorkView } from '../view/work-view.ts';

/** `sheaf download`: the outputs of a batch's completed items, into a folder. */
export async function download({ context, args, options }: Call<{ out?: string }>): Promise<number> {
  return await withConnection(context, {}, async ({ client }) => {
    const batch = await resolveBatch(client, args[0] ?? '');
    const dir = options.out ?? (await freeFolder(join('.', `${safeName(batch.name)}-out`)));
    const view = openWorkView(context);
    const onState = (files: number, size: number) => view.fetching(files, size, false);
    try {
      const fetched = await downloadOutputs(client, batch.id, { dir, onState });
      view.close();
      const { durations: _, ...figures } = fetched;
      answer(context, figures);
      say(
        context,
        fetched.files === 0 ? 'There are no outputs to fetch.' : `${shown(dir)}: ${outputsText(fetched)}`,
      );
      return 0;
    } catch (error) {
      throw writeFailure(error, dir);
    } finally {
      view.close();
    }
  });
}
