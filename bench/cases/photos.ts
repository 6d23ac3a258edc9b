import { createReadStream, mkdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { createEngine } from '../../packages/engine/src/index.ts';
import { photos } from '../../packages/packs/src/index.ts';
import type { asPicture } from '../../packages/packs/src/pictures/pixels.ts';
import { shareMachine } from '../../packages/packs/src/pictures/source.ts';
import { SAMPLE_PHOTOS } from '../../packages/packs/src/samples.ts';
import { type Bench, type Figures, shareLine } from '../bench.ts';
import { secondsToComplete } from '../work.ts';

/** The very copy that the pack works with, as far as it is used here. */
const sharp = createRequire(new URL('../../packages/packs/package.json', import.meta.url))('sharp') as (
  path: string,
) => ReturnType<typeof asPicture>;

const PARALLEL = 2;
const QUALITY = 85;

/** Pictures before the clock starts, for both: what is measured is the pace of the five hundredth, not of the first. */
const warmUpOf = (size: number) => Math.min(48, size / 2);

/** Pictures of this many pixels across, and what they are scaled to. */
type Kind = Pick<Bench, 'name' | 'about' | 'size' | 'rounds'> & { width: number; from: 'samples' | 'camera' };

/** What a camera of 12 megapixels writes. */
const CAMERA = { width: 4_000, quality: 92 };

/**
 * What all the care around a real item costs: children, stored inputs and outputs, records. The bare loop
 * leaves its files to the system, which may lose them; the lasting one puts each on the disk, as ours does.
 */
export const photosBench = benchOf({
  name: 'photos',
  about: 'photographs of 12 megapixels to 2048 pixels',
  size: { full: 480, quick: 48 },
  rounds: { full: 3, quick: 1 },
  width: 2_048,
  from: 'camera',
});

/** The care costs the same for a small picture, and is more of its time. */
export const smallPhotosBench = benchOf({
  name: 'photos-small',
  about: 'the sample photographs (0.2 megapixels) to 800 pixels',
  size: { full: 960, quick: 60 },
  rounds: { full: 3, quick: 1 },
  width: 800,
  from: 'samples',
});

function benchOf({ name, about, size: sizes, rounds, width, from }: Kind): Bench {
  return {
    name,
    about: `${about}, disk to disk, ${PARALLEL} at a time`,
    size: sizes,
    rounds,
    sides: {
      raw: (run) => bareLoop({ ...run, from, width, lasts: false }),
      lasting: (run) => bareLoop({ ...run, from, width, lasts: true }),
      async ours({ size, folder }) {
        const paths = await pictures(from, folder);
        const engine = await createEngine({ data_dir: folder, packs: [photos], concurrency: PARALLEL });
        const files = await Promise.all(
          paths.map((path) => engine.upload(createReadStream(path), { name: basename(path) })),
        );
        const draft = async (count: number) => {
          const items = Array.from({ length: count }, (_, index) => ({ file_id: at(files, index).id }));
          const { batch } = await engine.create({
            processor: 'photos.develop',
            // Without a look on it, developing is what sharp does: read, turn upright, scale, write.
            config: { blend: 0, width, quality: QUALITY, format: 'jpeg' },
            concurrency: PARALLEL,
            start: false,
            items,
          });
          return batch.id;
        };
        await secondsToComplete(engine, await draft(warmUpOf(size)));
        const seconds = await secondsToComplete(engine, await draft(size));
        await engine.close();
        return { rate: size / seconds };
      },
    },
    judge: (median) =>
      [
        { other: 'sharp', side: 'raw', floor_percent: 95 },
        { other: 'sharp, files that last', side: 'lasting', floor_percent: null },
      ].map(({ other, side, floor_percent }) =>
        shareLine({
          label: name,
          ours: median('ours', 'rate'),
          other: { name: other, rate: median(side, 'rate') },
          floor_percent,
        }),
      ),
  };
}

async function bareLoop(run: {
  size: number;
  folder: string;
  from: Kind['from'];
  width: number;
  lasts: boolean;
}): Promise<Figures> {
  const { size, folder, from, width, lasts } = run;
  shareMachine();
  const paths = await pictures(from, folder);
  const resize = (count: number, into: string) =>
    resizeAll(paths, { count, width, folder: join(folder, into), lasts });
  await resize(warmUpOf(size), 'warm-up');
  const begun = performance.now();
  await resize(size, 'outputs');
  return { rate: size / ((performance.now() - begun) / 1000) };
}

/** The samples as they are, or as large as a camera writes them. */
async function pictures(from: Kind['from'], folder: string): Promise<string[]> {
  const samples = SAMPLE_PHOTOS.map(({ path }) => path);
  if (from === 'samples') return samples;
  const large = join(folder, 'camera');
  mkdirSync(large);
  return Promise.all(
    samples.map(async (path, index) => {
      const target = join(large, `${index}.jpg`);
      await sharp(path)
        .resize({ width: CAMERA.width })
        .keepExif()
        .jpeg({ quality: CAMERA.quality })
        .toFile(target);
      return target;
    }),
  );
}

/** The loop anybody would write. */
async function resizeAll(
  paths: readonly string[],
  { count, width, folder, lasts }: { count: number; width: number; folder: string; lasts: boolean },
): Promise<void> {
  mkdirSync(folder);
  let next = 0;
  await Promise.all(
    Array.from({ length: PARALLEL }, async () => {
      for (let index = next++; index < count; index = next++) {
        const target = join(folder, `${index}.jpg`);
        await sharp(at(paths, index))
          .autoOrient()
          .resize({ width, fit: 'inside', withoutEnlargement: true })
          .flatten({ background: '#fff' })
          .toColourspace('srgb')
          .keepExif()
          .keepXmp()
          .jpeg({ quality: QUALITY, chromaSubsampling: '4:2:0' })
          .toFile(target);
        if (lasts) await Promise.all([sync(target), sync(folder)]);
      }
    }),
  );
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r');
  await handle.sync();
  await handle.close();
}

function at<T>(list: readonly T[], index: number): T {
  const element = list[index % list.length];
  if (element === undefined) throw new Error('The list is empty.');
  return element;
}
