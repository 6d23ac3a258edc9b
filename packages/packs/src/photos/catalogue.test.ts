import { createHash } from 'node:crypto';
import { mkdirSync, symlinkSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import type { Engine, PackRecord, Records } from '@sheaf/engine';
import { expect, test } from 'vitest';
import { SAMPLE_PHOTOS, TRUNCATED_PHOTO } from '../samples.ts';
import { BLUE, GREEN, plain, RED, temporaryFolder } from '../testing/pictures.ts';
import { openCatalogue } from './catalogue.ts';

const folder = temporaryFolder();

/** The two things of an engine that a catalogue uses, kept in memory. */
function makeShelf(): Pick<Engine, 'upload' | 'recordsOf'> & { uploads: string[] } {
  const uploads: string[] = [];
  const spaces = new Map<string, Records>();
  return {
    uploads,
    async upload(source, { space = 'default', name, media_type = '' }) {
      const content = await buffer(source);
      uploads.push(name);
      const sha256 = createHash('sha256').update(content).digest('hex');
      const id = `fil_${uploads.length}`;
      return { id, space, sha256, name, bytes: content.length, media_type, created_at: 0 };
    },
    recordsOf(pack, space = 'default') {
      const records = spaces.get(`${pack}/${space}`) ?? makeRecords();
      spaces.set(`${pack}/${space}`, records);
      return records;
    },
  };
}

function makeRecords(): Records {
  const kinds = new Map<string, PackRecord[]>();
  const rows = (kind: string) => kinds.get(kind) ?? [];
  return {
    async add(kind, added) {
      const all = rows(kind);
      kinds.set(kind, all);
      return added.map(({ key = null, data }) => {
        const known = key === null ? undefined : all.find((row) => row.key === key);
        if (known) return known.id;
        all.push({ id: all.length + 1, key, data, created_at: 0 });
        return all.length;
      });
    },
    get: async (kind, ids) => rows(kind).filter(({ id }) => ids.includes(id)),
    list: async (kind, { after = 0, limit = 100 } = {}) =>
      rows(kind)
        .filter(({ id }) => id > after)
        .slice(0, limit),
    count: async (kind) => rows(kind).length,
    update: async () => false,
    remove: async () => 0,
  };
}

test('gives photos integer ids from 1, with their names and sizes', async () => {
  const catalogue = openCatalogue(makeShelf());
  const paths = SAMPLE_PHOTOS.slice(0, 2).map(({ path }) => path);
  expect(await catalogue.importPhotos(paths)).toEqual({ photo_ids: [1, 2], refused: [] });
  const { photos, total } = await catalogue.listPhotos();
  expect(total).toBe(2);
  expect(photos[0]).toEqual({
    id: 1,
    name: 'aitzgorri-in-autumn.jpg',
    file_id: 'fil_1',
    bytes: 261_592,
    width: 1500,
    height: 999,
  });
});

test('a photo that is there already keeps its id', async () => {
  const catalogue = openCatalogue(makeShelf());
  const [first = '', second = ''] = SAMPLE_PHOTOS.map(({ path }) => path);
  await catalogue.importPhotos([first]);
  expect((await catalogue.importPhotos([second, first])).photo_ids).toEqual([2, 1]);
  expect((await catalogue.listPhotos()).total).toBe(2);
});

test('takes in a folder and what is below it, in order of names, and only photos', async () => {
  mkdirSync(folder.path('shoot/second'), { recursive: true });
  folder.write('shoot/b.jpg', await plain(RED).jpeg().toBuffer());
  folder.write('shoot/A.PNG', await plain(GREEN).png().toBuffer());
  folder.write('shoot/notes.txt', Buffer.from('bring a tripod'));
  folder.write('shoot/.hidden.jpg', await plain(BLUE).jpeg().toBuffer());
  folder.write('shoot/second/c.webp', await plain(BLUE).webp().toBuffer());
  symlinkSync(SAMPLE_PHOTOS[0]?.path ?? '', folder.path('shoot/link.jpg'));
  const catalogue = openCatalogue(makeShelf());
  const { photo_ids, refused } = await catalogue.importPhotos([folder.path('shoot')]);
  expect(refused).toEqual([]);
  const { photos } = await catalogue.photosById(photo_ids);
  expect(photos.map(({ name }) => name)).toEqual(['A.PNG', 'b.jpg', 'c.webp']);
});

test('refuses what is no photo with a reason, and takes in the others', async () => {
  const path = folder.write('fake.jpg', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'));
  const shelf = makeShelf();
  const catalogue = openCatalogue(shelf);
  const { photo_ids, refused } = await catalogue.importPhotos([path, SAMPLE_PHOTOS[0]?.path ?? '']);
  expect(photo_ids).toEqual([1]);
  expect(refused).toMatchObject([{ name: 'fake.jpg', reason: 'unsupported_format' }]);
  expect(shelf.uploads).toEqual(['aitzgorri-in-autumn.jpg']);
  await expect(catalogue.importPhotos([folder.path('nowhere')])).rejects.toMatchObject({ code: 'ENOENT' });
});

test('the samples come in once, the broken one with them', async () => {
  const shelf = makeShelf();
  const catalogue = openCatalogue(shelf);
  await catalogue.importSamples();
  await catalogue.importSamples();
  const { photos, total } = await catalogue.listPhotos();
  expect(total).toBe(SAMPLE_PHOTOS.length + 1);
  expect(photos.at(-1)?.name).toBe(TRUNCATED_PHOTO.name);
  expect(shelf.uploads.length).toBe(total);
});

test('a start that was cut short takes in the samples again under the same ids', async () => {
  const shelf = makeShelf();
  await openCatalogue(shelf).importPhotos(SAMPLE_PHOTOS.slice(0, 3).map(({ path }) => path));
  await openCatalogue(shelf).importSamples();
  expect((await openCatalogue(shelf).listPhotos()).total).toBe(SAMPLE_PHOTOS.length + 1);
});

test('finds photos by id in the order asked for, and names the ids nobody has', async () => {
  const catalogue = openCatalogue(makeShelf());
  await catalogue.importSamples();
  const { photos, unknown_ids } = await catalogue.photosById([3, 1, 99, 3]);
  expect(photos.map(({ id }) => id)).toEqual([3, 1, 3]);
  expect(unknown_ids).toEqual([99]);
});

test('pages by id', async () => {
  const catalogue = openCatalogue(makeShelf());
  await catalogue.importSamples();
  const { photos, total } = await catalogue.listPhotos({ after: 2, limit: 2 });
  expect(photos.map(({ id }) => id)).toEqual([3, 4]);
  expect(total).toBe(13);
});

test('sessions group photos', async () => {
  const catalogue = openCatalogue(makeShelf());
  const id = await catalogue.addSession({ name: 'Harbour at dawn', photo_ids: [1, 2] });
  expect(await catalogue.session(id)).toEqual({ id, name: 'Harbour at dawn', photo_ids: [1, 2] });
  expect(await catalogue.session(id + 1)).toBe(null);
});

test('spaces share nothing', async () => {
  const shelf = makeShelf();
  await openCatalogue(shelf, 'studio').importSamples();
  expect((await openCatalogue(shelf, 'other').listPhotos()).total).toBe(0);
});
