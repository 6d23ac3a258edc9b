import type { Readable } from 'node:stream';
import { makeId, nameProblem, SheafError } from '@sheaf/protocol';
import type { Chance, Clock } from '../ports/clock.ts';
import type { Files } from '../ports/files.ts';
import type { FileRow, Store } from '../ports/store.ts';

/** Bytes on their way in: stored first, named by a row second, and not swept in between. */
export type Uploads = {
  put(
    source: Readable,
    file: { space: string; name: string; media_type: string; max_bytes?: number },
  ): Promise<FileRow>;
  /** Whether bytes were just stored and are about to be named. */
  isPinned(space: string, sha256: string): boolean;
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
  const pinned = new Map<string, number>();

  return {
    async put(source, { space, name, media_type, max_bytes = MAX_FILE_BYTES }) {
      const text = name.normalize('NFC');
      const problem = nameProblem(text);
      if (problem !== null) {
        source.destroy();
        throw new SheafError('invalid_name', `The file name ${problem}.`);
      }
      const stored = await files.put(space, source, { max_bytes });
      const key = `${space}/${stored.sha256}`;
      pinned.set(key, (pinned.get(key) ?? 0) + 1);
      try {
        const now = clock.now();
        const file = {
          id: makeId('fil', now, chance.bytes(10)),
          space,
          name: text,
          media_type,
          ...stored,
          created_at: now,
        };
        await store.addFile(file);
        return file;
      } finally {
        const count = (pinned.get(key) ?? 1) - 1;
        if (count === 0) pinned.delete(key);
        else pinned.set(key, count);
      }
    },
    isPinned: (space, sha256) => pinned.has(`${space}/${sha256}`),
  };
}
