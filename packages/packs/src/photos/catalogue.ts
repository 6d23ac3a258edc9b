import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import type { Engine, Records } from '@sheaf/engine';
import { z } from 'zod';
import { ImageError, type ImageReason } from '../pictures/image-error.ts';
import { openPicture } from '../pictures/source.ts';
import { SAMPLE_PHOTOS, TRUNCATED_PHOTO } from '../samples.ts';

const photoSchema = z.object({
  name: z.string(),
  file_id: z.string(),
  bytes: z.int(),
  width: z.int(),
  height: z.int(),
});

const sessionSchema = z.object({ name: z.string(), photo_ids: z.array(z.int()) });

/** A photo of the catalogue. Width and height are those of the upright picture. */
export type Photo = z.infer<typeof photoSchema> & { id: number };

/** Photos that belong together, say those of one shoot; batches point to it by `session_id`. */
export type Session = z.infer<typeof sessionSchema> & { id: number };

/** A file that was not taken in, and why. */
export type RefusedPhoto = { name: string; reason: ImageReason; message: string };

/** The photos of one space, by integer ids. */
export type Catalogue = {
  /**
   * Takes in files and whole folders (with the folders in them; hidden files, links and other kinds
   * of files are left out). The same photo under the same name keeps its id. One that cannot be
   * read is refused, and the others are taken in.
   *
   * Reads paths with the rights of this process: never call it with what came over the network.
   *
   * @throws When a path does not exist.
   */
  importPhotos(paths: readonly string[]): Promise<{ photo_ids: number[]; refused: RefusedPhoto[] }>;
  /** Takes in the sample photos, once in the life of a space; afterwards it does nothing. */
  importSamples(): Promise<void>;
  /** A page of photos by id. */
  listPhotos(page?: { after?: number; limit?: number }): Promise<{ photos: Photo[]; total: number }>;
  /** The photos with these ids, in their order, and the ids nobody has. */
  photosById(ids: readonly number[]): Promise<{ photos: Photo[]; unknown_ids: number[] }>;
  /** @returns The id of the new session. */
  addSession(session: { name: string; photo_ids: readonly number[] }): Promise<number>;
  session(id: number): Promise<Session | null>;
};

/**
 * Opens the catalogue of a space.
 *
 * @param space @default 'default'
 */
export function openCatalogue(engine: Pick<Engine, 'upload' | 'recordsOf'>, space = 'default'): Catalogue {
  const records = engine.recordsOf('photos', space);

  const importPhotos: Catalogue['importPhotos'] = async (paths) => {
    const photoIds: number[] = [];
    const refused: RefusedPhoto[] = [];
    for (const path of await expand(paths)) {
      const name = basename(path);
      try {
        photoIds.push(await importPhoto({ engine, space, records }, path));
      } catch (error) {
        if (!(error instanceof ImageError)) throw error;
        refused.push({ name, reason: error.reason, message: error.message });
      }
    }
    return { photo_ids: photoIds, refused };
  };

  return {
    importPhotos,
    async importSamples() {
      if ((await records.count(SAMPLES_DONE)) > 0) return;
      await importPhotos([...SAMPLE_PHOTOS, TRUNCATED_PHOTO].map(({ path }) => path));
      // Last, so that a start that was cut short is made good by the next one.
      await records.add(SAMPLES_DONE, [{ key: SAMPLES_DONE, data: true }]);
    },
    async listPhotos(page) {
      const [rows, total] = await Promise.all([records.list(PHOTO, page), records.count(PHOTO)]);
      return { photos: rows.map(({ id, data }) => ({ id, ...photoSchema.parse(data) })), total };
    },
    async photosById(ids) {
      const rows = await records.get(PHOTO, [...new Set(ids)]);
      const found = new Map(rows.map(({ id, data }) => [id, { id, ...photoSchema.parse(data) }]));
      return {
        photos: ids.map((id) => found.get(id)).filter((photo) => photo !== undefined),
        unknown_ids: ids.filter((id) => !found.has(id)),
      };
    },
    async addSession({ name, photo_ids }) {
      const [id] = await records.add(SESSION, [{ data: { name, photo_ids: [...photo_ids] } }]);
      if (id === undefined) throw new Error('The session got no id.');
      return id;
    },
    async session(id) {
      const [row] = await records.get(SESSION, [id]);
      return row ? { id, ...sessionSchema.parse(row.data) } : null;
    },
  };
}

const PHOTO = 'photo';
const SESSION = 'session';
const SAMPLES_DONE = 'samples_imported';

/** Files of folders with these endings are photos; named by path, any file is tried. */
const PHOTO_ENDINGS = new Set('.avif .gif .jpeg .jpg .png .tif .tiff .webp'.split(' '));

async function expand(paths: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const path of paths) {
    if ((await stat(path)).isDirectory()) found.push(...(await photosBelow(path)));
    else found.push(path);
  }
  return found;
}

async function photosBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
    .filter((entry) => PHOTO_ENDINGS.has(extname(entry.name).toLowerCase()))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

async function importPhoto(
  { engine, space, records }: { engine: Pick<Engine, 'upload'>; space: string; records: Records },
  path: string,
): Promise<number> {
  const name = basename(path);
  // Only the header is read: a photo with a broken end is taken in, and may be repaired later.
  const { width, height, format } = await openPicture(path, { name });
  const mediaType = `image/${format}`;
  const file = await engine.upload(createReadStream(path), { space, name, media_type: mediaType });
  const data = { name, file_id: file.id, bytes: file.bytes, width, height };
  const [id] = await records.add(PHOTO, [{ key: `${file.sha256}/${name}`, data }]);
  if (id === undefined) throw new Error(`The photo ${name} got no id.`);
  return id;
}
