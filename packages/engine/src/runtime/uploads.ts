import type { Readable } from 'node:stream';
import { makeId, nameProblem, SheafError } from '@sheaf/protocol';
import type { Chance, Clock } from '../ports/clock.ts';
import type { Files } from '../ports/files.ts';
import type { FileRow, Store } from '../ports/store.ts';
import { nameStored } from './naming.ts';

/** Bytes on their way in: stored first, named by a row second. */
export type Uploads = {
  /**
   * @throws store_unavailable when equal bytes, which nothing named any more, were being removed at the
   *   same time, and these with them: sent again they are kept.
   */
  put(
    source: Readable,
    file: { space: string; name: string; media_type: string; max_bytes?: number },
  ): Promise<FileRow>;
};

/** The largest single file. */
const MAX_FILE_BYTES = 10 * 1024 ** 3;

export function createUploads({
  store,
  files,
  clock,
  chance,
}: {
  store: Store;
  files: Files;
  clock: Clock;
  chance: Chance;
}): Uploads {
  return {
    async put(source, { space, name, media_type, max_bytes = MAX_FILE_BYTES }) {
      const text = name.normalize('NFC');
      const problem = nameProblem(text);
      if (problem !== null) {
        source.destroy();
        throw new SheafError('invalid_name', `The file name ${problem}.`);
      }
      const stored = await files.put(space, source, { max_bytes });
      const now = clock.now();
      const file = {
        id: makeId('fil', now, chance.bytes(10)),
        space,
        name: text,
        media_type,
        ...stored,
        created_at: now,
      };
      await nameStored(files, (known) => store.addFile(file, known));
      return file;
    },
  };
}
